/** A capture buffer as the host's kernel has it: host-buffer.c, compiled where it runs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The TypeScript compiler leaves it where it is. */
const SOURCE = fileURLToPath(new URL('../../../../test/vmm/support/host-buffer.c', import.meta.url));
const MAX_BYTES = 64 << 20;

export interface HostBytes {
  /** Where the kernel keeps the buffer: V4L2_MEMORY_*. */
  readonly memory: 'mmap' | 'userptr';
  readonly bytes: Buffer;
}

let program: string | undefined;

/** Buffer `index` of the queue that process `pid` streams from. Throws with what the kernel said. */
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
