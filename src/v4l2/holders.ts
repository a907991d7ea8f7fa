/** Who on the host has a node open, as /proc shows it. Nothing here opens the node or waits for it. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface Holder {
  readonly pid: number;
  /** The kernel's name of the process, at most 15 bytes. */
  readonly command: string;
  /** It has buffers of the device mapped: it streams, or did and keeps them. Without, it may stream from memory of its own, or not at all. */
  readonly maps: boolean;
}

export interface Holders {
  /** By process number. This process is not among them. */
  readonly holders: readonly Holder[];
  /** Whether there are processes that this user may not look into. */
  readonly hidden: boolean;
  /** Whether this process has it open too. */
  readonly own: boolean;
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
    const folder = join(proc, String(pid));
    const names = await openNames(folder, rdev);
    if (names === 'hidden') hidden = true;
    else if (names.length > 0)
      holders.push({ pid, command: await commandOf(folder), maps: await maps(folder, names) });
  }
  const own = await openNames(join(proc, String(self)), rdev);
  return { holders, hidden, own: own.length > 0 };
}

/** Those who have its buffers, as far as can be seen. */
export function mappersOf({ holders, ...rest }: Holders): Holders {
  return { ...rest, holders: holders.filter((holder) => holder.maps) };
}

/** `ffmpeg (1234), cheese (5678)`, or what to do to see them. */
export function holdersText({ holders, hidden }: Pick<Holders, 'holders' | 'hidden'>): string {
  const names = holders.map(({ pid, command }) => `${command} (${pid})`);
  if (names.length > 0) return names.join(', ');
  return hidden ? 'another program (run as root to see which)' : 'another program';
}

/** What the links of its descriptors call the device; one after the other: a process may have very many. */
async function openNames(process: string, rdev: number): Promise<readonly string[] | 'hidden'> {
  const names = new Set<string>();
  try {
    const folder = join(process, 'fd');
    for (const fd of await readdir(folder)) {
      const name = await deviceName(join(folder, fd), rdev);
      if (name !== null) names.add(name);
    }
    return [...names];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'hidden' : [...names];
  }
}

/** Null also for a descriptor that was closed meanwhile. */
async function deviceName(link: string, rdev: number): Promise<string | null> {
  try {
    const name = await readlink(link);
    if (!deviceFile.test(name)) return null;
    const file = await stat(link);
    return file.isCharacterDevice() && file.rdev === rdev ? name : null;
  } catch {
    return null;
  }
}

/** The kernel calls a mapped file what it calls an open one. */
async function maps(process: string, names: readonly string[]): Promise<boolean> {
  const lines = (await readFile(join(process, 'maps'), 'utf8').catch(() => '')).split('\n');
  return lines.some((line) => names.some((name) => line.endsWith(` ${name}`)));
}

/** A process may call itself anything: what is no printable ASCII is shown as a question mark. */
async function commandOf(process: string): Promise<string> {
  const name = await readFile(join(process, 'comm'), 'latin1').catch(() => '');
  return name.trimEnd().replace(/[^ -~]/g, '?') || '?';
}
