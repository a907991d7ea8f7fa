/** Listening sockets that systemd has opened for this process (sd_listen_fds(3)). The one of --fd is connected. */
import { readFileSync, readlinkSync } from 'node:fs';

const FIRST_DESCRIPTOR = 3;
/** More than a daemon of one VM can need. There is a limit because the variable may have any text. */
const MAX_DESCRIPTORS = 256;

/**
 * The descriptors that systemd has passed to this process, in order. Deletes the variables from `env`, so that no child
 * process uses them.
 */
export function listeningDescriptors(env: NodeJS.ProcessEnv, pid: number): number[] {
  const { LISTEN_PID, LISTEN_FDS } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  const count = Number(LISTEN_FDS);
  if (Number(LISTEN_PID) !== pid || !Number.isInteger(count) || count < 1 || count > MAX_DESCRIPTORS)
    return [];
  return Array.from({ length: count }, (_, index) => FIRST_DESCRIPTOR + index);
}

/** The path that a listening socket is bound to, from /proc/self/net/unix. Undefined: the kernel does not show it. */
export function boundPath(fd: number): string | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    const lines = readFileSync('/proc/self/net/unix', 'utf8').split('\n');
    return lines.map((line) => line.trim().split(/\s+/)).find((columns) => columns[6] === inode)?.[7];
  } catch {
    return undefined;
  }
}
