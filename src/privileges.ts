/**
 * Drops privileges: from root to one user and one group, for good, in every thread.
 *
 * Capabilities and no_new_privs belong to a thread, and Node has threads before any of our code runs. A libuv with
 * io_uring also has a thread in the kernel, which keeps the ids of root. So one thread drops everything and starts the
 * program again in its place (execve(2)): all other threads end, and the new ones have only what that thread has.
 */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { Errno, errnoName } from './errno.js';
import { log } from './log.js';
import { addonPath, type Native, native } from './native.js';

/** The user and the only group that the process becomes, as ids. */
export interface TargetUser {
  readonly uid: number;
  readonly gid: number;
}

/** A program as execve(2) takes it. */
export interface Program {
  readonly path: string;
  readonly argv: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Descriptors that stay open. */
  readonly inherited: readonly number[];
  /** Files that the program must be able to read, besides the addon. */
  readonly reads: readonly string[];
}

/** The host's user database. */
export type Accounts = Pick<Native, 'user' | 'group'>;
export const accounts: Accounts = native;

/** The process cannot become the user of --user and --group. A code of docs/errors.md and a sentence with the cure. */
export class PrivilegeError extends Error {
  readonly code = 'ERR_PRIVILEGES';
}

/** The credentials of a thread, credentials(7). The capability sets are bit masks. */
export interface Credentials {
  /** Real, effective, saved, file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** Supplementary groups. */
  readonly groups: readonly number[];
  readonly inheritable: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
  readonly noNewPrivileges: boolean;
}

const CAP_SETGID = 1n << 6n;
const CAP_SETUID = 1n << 7n;
const CAP_TO_DROP = CAP_SETGID | CAP_SETUID;

/** Reads the text of /proc/PID/status, proc_pid_status(5). */
export function credentialsOf(status: string): Credentials {
  const line = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? '';
  const ids = (name: string) => line(name).split(/\s+/).filter(Boolean).map(Number);
  const set = (name: string) => BigInt(`0x${line(name).trim() || '0'}`);
  return {
    uids: ids('Uid'),
    gids: ids('Gid'),
    groups: ids('Groups'),
    inheritable: set('CapInh'),
    permitted: set('CapPrm'),
    effective: set('CapEff'),
    bounding: set('CapBnd'),
    ambient: set('CapAmb'),
    noNewPrivileges: line('NoNewPrivs').trim() === '1',
  };
}

/**
 * Whether the process must drop privileges to become `wanted`. False: it already has these ids and no capabilities.
 * Throws ERR_PRIVILEGES if the process may not become that user.
 */
export function mustDrop(now: Credentials, wanted: TargetUser): boolean {
  const same = (ids: readonly number[], id: number) => ids.every((each) => each === id);
  const held = now.permitted | now.effective | now.inheritable | now.ambient;
  const isWanted = same(now.uids, wanted.uid) && same([...now.gids, ...now.groups], wanted.gid);
  if (isWanted && held === 0n) return false;
  if ((now.effective & CAP_TO_DROP) === CAP_TO_DROP) return true;
  throw new PrivilegeError(
    `user ${now.uids[1]} may not become user ${wanted.uid} with group ${wanted.gid} only: --user and --group need a start as root (CAP_SETUID, CAP_SETGID); without root leave them out`,
  );
}

/**
 * Drops all privileges if `wanted` is given: the code after this call runs as that user. If that needs a new start of
 * the program, it starts `again()` and does not return. Without `wanted` it only sets no_new_privs. Throws
 * ERR_PRIVILEGES.
 */
export function confine(wanted: TargetUser | undefined, again: () => Program): void {
  const now = credentialsOf(readFileSync('/proc/thread-self/status', 'latin1'));
  if (wanted && mustDrop(now, wanted)) dropPrivileges(wanted, again());
  const errno = now.noNewPrivileges ? 0 : native.noNewPrivileges() || native.shareNoNewPrivileges();
  if (errno !== 0) log.debug('no_new_privs is not in every thread', { error: errnoName(errno) });
  if (!wanted) return;
  native.undumpable();
  log.info('privileges given up', { uid: wanted.uid, gid: wanted.gid });
  if (wanted.uid === 0) log.warn("user 0 without capabilities still owns root's files: name another --user");
  if (now.bounding !== 0n)
    log.debug('the capability bounding set is not empty, but no_new_privs makes it harmless');
}

interface Step {
  readonly what: string;
  readonly run: (wanted: TargetUser) => number;
  /** An errno that does not count as a failure. */
  readonly excused?: number;
}

const steps: readonly Step[] = [
  // A container may lack CAP_SETPCAP. That is no failure, because with no_new_privs no program gets anything from this
  // set.
  {
    what: 'empty the capability bounding set',
    run: () => native.dropBoundingSet(),
    excused: Errno.EPERM,
  },
  { what: 'change user and group', run: ({ uid, gid }) => native.become(uid, gid) },
  { what: 'clear the capabilities', run: () => native.clearCapabilities() },
  { what: 'set no_new_privs', run: () => native.noNewPrivileges() },
];

function dropPrivileges(wanted: TargetUser, program: Program): never {
  const who = `user ${wanted.uid}, group ${wanted.gid}`;
  for (const { what, run, excused } of steps) {
    const errno = run(wanted);
    if (errno === 0 || errno === excused) continue;
    throw new PrivilegeError(
      `cannot become ${who}: ${errnoName(errno)} where it should ${what} (a container or user namespace may forbid it)`,
    );
  }
  for (const path of [...program.reads, addonPath]) allow(who, path, constants.R_OK);
  allow(who, program.path, constants.X_OK);
  const variables = Object.entries(program.environment).map(([name, value]) => `${name}=${value}`);
  const errno = native.execute(program.path, program.argv, variables, [0, 1, 2, ...program.inherited]);
  throw new PrivilegeError(`cannot start ${program.path} anew as ${who}: ${errnoName(errno)}`);
}

function allow(who: string, path: string, mode: number): void {
  try {
    accessSync(path, mode);
  } catch {
    throw new PrivilegeError(
      `${who} has no access to ${path}: install virtio-media-bridge and node where every user may read them`,
    );
  }
}

const GROUP_READ_WRITE = 0o060;

/** The cure, for the operator, if a user with these groups may not open the node. */
export function accessCure(path: string, groups: readonly number[] = process.getgroups!()): string {
  try {
    const { mode, gid } = statSync(path);
    const group = accounts.group(gid)?.name ?? gid;
    if (groups.includes(gid) && (mode & GROUP_READ_WRITE) === GROUP_READ_WRITE)
      return `this user is in its group ${group}, and something else forbids it: an ACL (getfacl), AppArmor or SELinux`;
    if (gid !== 0 && (mode & GROUP_READ_WRITE) === GROUP_READ_WRITE)
      return `it is open to the group ${group}: serve with \`--group ${group}\`, or run as a member of it`;
    return `no group may read and write it, let a udev rule say GROUP="video", MODE="0660" and serve with \`--group video\``;
  } catch {
    return 'run as a member of the group `video`, or as root';
  }
}
