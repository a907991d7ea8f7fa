/** What a process holds, as /proc shows it. `pid`: process number, or `self`. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What must be the same after a test as before it. */
export interface Holdings {
  /** Kinds of the open descriptors, sorted. */
  readonly descriptors: readonly string[];
  /** Names of the files that are mapped, sorted: guest memory, arenas, nodes, DMABUFs. */
  readonly mappings: readonly string[];
  /** Names of lanes and watchers. Node's own threads are left out because they come and go. */
  readonly threads: readonly string[];
}

type Process = number | 'self';

/** Calls `read` for each entry of a folder. Entries that disappear before they are read are left out. */
function entriesOf(folder: string, read: (path: string) => string): string[] {
  return readdirSync(folder).flatMap((name) => {
    try {
      return [read(`${folder}/${name}`)];
    } catch {
      return [];
    }
  });
}

/** Targets of the descriptors of the process. */
export const filesOf = (pid: Process): string[] => entriesOf(`/proc/${pid}/fd`, (fd) => readlinkSync(fd));

/** Text of the status file of every thread. */
export const statusesOf = (pid: Process): string[] =>
  entriesOf(`/proc/${pid}/task`, (thread) => readFileSync(`${thread}/status`, 'latin1'));

export const mapsOf = (pid: Process): string[] =>
  readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n').filter(Boolean);

/** The name without the inode number: two sockets are of one kind. */
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
