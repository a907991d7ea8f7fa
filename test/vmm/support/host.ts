/**
 * Requirements of a test on the machine that it runs on. If something is missing, a message says so and the tests are
 * pending.
 */
import { spawnSync } from 'node:child_process';
import { QEMU_BINARY, QEMU_DEVICE } from './qemu.js';

/** One single-planar camera; the module's first instance. */
export const VIVID = 'vivid n_devs=1 node_types=0x1';
export const VIVID_CONTIGUOUS = `${VIVID} allocators=1`;
export const VIVID_NODE = 'vivid-000-vid-cap';
export const VIM2M = 'vim2m';

const obstacles = {
  qemu: () => {
    const { error, stdout } = spawnSync(QEMU_BINARY, ['-device', 'help'], { encoding: 'utf8' });
    if (error) return `there is no ${QEMU_BINARY}`;
    return stdout.includes(QEMU_DEVICE) ? undefined : `this ${QEMU_BINARY} has no ${QEMU_DEVICE}`;
  },
  gcc: () => (spawnSync('gcc', ['--version']).error ? 'there is no gcc' : undefined),
} as const;

/** Skips the suite or test of `context` with a message if one of the tools is missing. */
export function requires(context: Mocha.Context, ...tools: (keyof typeof obstacles)[]): void {
  for (const tool of tools) {
    const reason = obstacles[tool]();
    if (reason === undefined) continue;
    console.error(`SKIPPED: ${context.test?.parent?.fullTitle()}: ${reason}`);
    context.skip();
  }
}
