/** Who on the host has a node open, as /proc shows it. Nothing here opens the node or waits for it. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface Holder {
  readonly pid: number;
  /** The kernel's name of the process, at most 15 bytes. */
  readonly command: string;
}

export interface Holders {
  /** By process number. This process is not among them. */
  readonly holders: readonly Holder[];
  /** Whether there are processes that this user may not look into. */
  readonly hidden: boolean;
}

/**
 * Files of /dev as a descriptor's link names them, also those of another mount name space, where the name of its root
 * is missing. Others are not asked about: stat(2) of a file on a network may never come back.
 */
const deviceFile = /^\/(dev\/.*|[^/]+)$/;

/** Every other process that has the device of this number open. A process that ends meanwhile has nothing. */
export async function holdersOf(rdev: number, proc = '/proc', self = process.pid): Promise<Holders> {
  const pids = (await readdir(proc)).map(Number).filter((pid) => pid > 0 && pid !== self);
  const holders: Holder[] = [];
  let hidden = false;
  for (const pid of pids.sort((left, right) => left - right)) {
    const held = await holds(join(proc, String(pid)), rdev);
    if (held === 'hidden') hidden = true;
    if (held === true) holders.push({ pid, command: await commandOf(join(proc, String(pid))) });
  }
  return { holders, hidden };
}

/** `ffmpeg (1234), cheese (5678)`, or what to do to see them. */
export function holdersText({ holders, hidden }: Holders): string {
  const names = holders.map(({ pid, command }) => `${command} (${pid})`);
  if (names.length > 0) return names.join(', ');
  return hidden ? 'another program (run as root to see which)' : 'another program';
}

/** One after the other: a process may have very many. */
async function holds(process: string, rdev: number): Promise<boolean | 'hidden'> {
  try {
    const folder = join(process, 'fd');
    for (const fd of await readdir(folder)) if (await isDevice(join(folder, fd), rdev)) return true;
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'hidden' : false;
  }
}

/** False also for a descriptor that was closed meanwhile. */
async function isDevice(link: string, rdev: number): Promise<boolean> {
  try {
    if (!deviceFile.test(await readlink(link))) return false;
    const file = await stat(link);
    return file.isCharacterDevice() && file.rdev === rdev;
  } catch {
    return false;
  }
}

/** A process may call itself anything: what is no printable ASCII is shown as a question mark. */
async function commandOf(process: string): Promise<string> {
  const name = await readFile(join(process, 'comm'), 'latin1').catch(() => '');
  return name.trimEnd().replace(/[^ -~]/g, '?') || '?';
}
