/** A capture buffer as the host's kernel has it. host-buffer.c is compiled on the machine where it runs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Path in the sources: the TypeScript compiler does not copy C files. */
const SOURCE = fileURLToPath(new URL('../../../../test/vmm/support/host-buffer.c', import.meta.url));
const MAX_BYTES = 64 << 20;

export interface HostBytes {
  /** The memory type of the host's buffer: V4L2_MEMORY_*. */
  readonly memory: 'mmap' | 'userptr';
  readonly bytes: Buffer;
}

let program: string | undefined;

/** Reads buffer `index` of the queue from which process `pid` streams. Throws with the kernel's error. */
export function hostBuffer(device: string, pid: number, index: number): HostBytes {
  program ??= compile();
  const words = [device, String(pid), String(index)];
  const { status, stdout, stderr } = spawnSync(program, words, { maxBuffer: MAX_BYTES });
  const said = stderr.toString().trim();
  if (status !== 0) throw new Error(said);
  return { memory: said as HostBytes['memory'], bytes: stdout };
}

function compile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmb-host-buffer-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  const output = join(folder, 'host-buffer');
  execFileSync('gcc', ['-Wall', '-Wextra', '-Werror', '-O', '-o', output, SOURCE]);
  return output;
}
