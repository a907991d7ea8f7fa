/** Sockets that systemd opened for us (sd_listen_fds(3)): listening ones, unlike the connected one of --fd. */
import { readFileSync, readlinkSync } from 'node:fs';

const FIRST_DESCRIPTOR = 3;
/** More than a daemon of one VM can want; the variable is a stranger's text. */
const MAX_DESCRIPTORS = 256;

/** The descriptors that are meant for this process, in order. Clears the variables: no child of ours shall believe them. */
export function listeningDescriptors(env: NodeJS.ProcessEnv, pid: number): number[] {
  const { LISTEN_PID, LISTEN_FDS } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  const count = Number(LISTEN_FDS);
  if (Number(LISTEN_PID) !== pid || !Number.isInteger(count) || count < 1 || count > MAX_DESCRIPTORS)
    return [];
  return Array.from({ length: count }, (_, index) => FIRST_DESCRIPTOR + index);
}

/** The path that a listening socket is bound to, as the kernel shows it; undefined where it does not. */
export function boundPath(fd: number): string | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    const lines = readFileSync('/proc/self/net/unix', 'utf8').split('\n');
    return lines.map((line) => line.trim().split(/\s+/)).find((columns) => columns[6] === inode)?.[7];
  } catch {
    return undefined;
  }
}
