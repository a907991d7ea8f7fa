/** What a process holds, as /proc shows it. `pid`: its number, or `self`. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What must be the same after a test as before it. */
export interface Holdings {
  /** Kinds of open descriptors, in order. */
  readonly descriptors: readonly string[];
  /** Mappings of files, by name, in order: guest memory, arenas, nodes, DMABUFs. */
  readonly mappings: readonly string[];
  /** Lanes and watchers, by name; Node's own come and go. */
  readonly threads: readonly string[];
}

type Process = number | 'self';

/** What `read` makes of each entry of a folder; those that go between the two calls are left out. */
function entriesOf(folder: string, read: (path: string) => string): string[] {
  return readdirSync(folder).flatMap((name) => {
    try {
      return [read(`${folder}/${name}`)];
    } catch {
      return [];
    }
  });
}

/** What its descriptors are. */
export const filesOf = (pid: Process): string[] => entriesOf(`/proc/${pid}/fd`, (fd) => readlinkSync(fd));

/** The status file of every thread. */
export const statusesOf = (pid: Process): string[] =>
  entriesOf(`/proc/${pid}/task`, (thread) => readFileSync(`${thread}/status`, 'latin1'));

export const mapsOf = (pid: Process): string[] =>
  readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n').filter(Boolean);

/** Without the inode: two sockets are of one kind. */
export const descriptorsOf = (pid: Process): string[] =>
  filesOf(pid).map((file) => file.replace(/:\[\d+\]$/, ''));

const threadsOf = (pid: Process): string[] =>
  entriesOf(`/proc/${pid}/task`, (thread) => readFileSync(`${thread}/comm`, 'latin1').trim());

export function holdingsOf(pid: Process): Holdings {
  const shared = /\/memfd:|\/dev\/|\/dmabuf|anon_inode/;
  return {
    descriptors: descriptorsOf(pid).sort(),
    mappings: mapsOf(pid)
      .map((line) => line.slice(73).trim())
      .filter((name) => shared.test(name))
      .sort(),
    threads: threadsOf(pid)
      .filter((name) => name.startsWith('vmb-'))
      .sort(),
  };
}
