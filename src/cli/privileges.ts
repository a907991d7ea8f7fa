/** Turns options into ids: the user of the process, the owner of its sockets, and the users that may connect. */
import type { ServeOptions, SocketFile } from '../daemon.js';
import type { Accounts, Program, TargetUser } from '../privileges.js';
import { OperatorError } from './exit.js';
import type { ServedNode } from './served-nodes.js';

/** The options as the operator wrote them. Only --allow-uid may be repeated. */
export interface PrivilegeFlags {
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly socketUser: string | undefined;
  readonly socketGroup: string | undefined;
  readonly socketMode: string | undefined;
  readonly allowUid: readonly string[];
}

/** The options as ids. */
export interface Privileges {
  /** The user that the process becomes. Absent: it keeps its user. */
  readonly identity?: TargetUser;
  readonly serve: Pick<ServeOptions, 'socketFile' | 'allowUids'>;
}

/** 2^32 - 1 is no id to the kernel. */
const MAX_ID = 2 ** 32 - 2;
const OWNER_ONLY = 0o600;
const OWNER_AND_GROUP = 0o660;

/** `uid`: the current user of the process. Throws ERR_USAGE. */
export function privilegesOf(
  flags: PrivilegeFlags,
  pairs: readonly ServedNode[],
  uid: number,
  accounts: Accounts,
): Privileges {
  const identity = targetUserOf(flags, uid, accounts);
  const socketFile = socketFileOf(flags, pairs, accounts);
  if (flags.allowUid.length > 0 && pairs.some(({ socket }) => 'connectedFd' in socket))
    throw usage('--allow-uid and --fd exclude each other: that connection is made already');
  const allowUids = flags.allowUid.map((text) => userId('--allow-uid', text, accounts));
  return {
    ...(identity && { identity }),
    serve: { ...(socketFile && { socketFile }), ...(allowUids.length > 0 && { allowUids }) },
  };
}

function targetUserOf(
  { user, group }: PrivilegeFlags,
  uid: number,
  accounts: Accounts,
): TargetUser | undefined {
  if (user === undefined && group === undefined) return undefined;
  const wanted = user === undefined ? uid : userId('--user', user, accounts);
  if (group !== undefined) return { uid: wanted, gid: groupId('--group', group, accounts) };
  const primary = accounts.user(wanted)?.gid;
  if (primary === undefined)
    throw usage(
      `--user ${user} has no entry among the users of this host, so no group: name one with --group`,
    );
  return { uid: wanted, gid: primary };
}

/** Undefined: no option asks for another mode or owner than the default. Throws ERR_USAGE. */
function socketFileOf(
  flags: PrivilegeFlags,
  pairs: readonly ServedNode[],
  accounts: Accounts,
): SocketFile | undefined {
  const { socketUser, socketGroup, socketMode, user } = flags;
  const asked = [socketUser, socketGroup, socketMode].some((flag) => flag !== undefined);
  if (!pairs.some(({ socket }) => 'path' in socket)) {
    if (asked)
      throw usage('--socket-user, --socket-group and --socket-mode are for sockets of --socket-path only');
    return undefined;
  }
  if (!asked && user === undefined) return undefined;
  const owner = socketUser ?? user;
  return {
    mode: modeOf(socketMode) ?? (socketGroup === undefined ? OWNER_ONLY : OWNER_AND_GROUP),
    ...(owner !== undefined && {
      uid: userId(socketUser === undefined ? '--user' : '--socket-user', owner, accounts),
    }),
    ...(socketGroup !== undefined && { gid: groupId('--socket-group', socketGroup, accounts) }),
  };
}

function modeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^0?[0-7]{3}$/.test(text))
    throw usage(`--socket-mode must be three octal digits, for example 0660, not ${text}`);
  return Number.parseInt(text, 8);
}

function userId(option: string, text: string, accounts: Accounts): number {
  const id = numberOf(text) ?? accounts.user(text)?.uid;
  if (id === undefined) throw usage(`${option} ${text}: there is no such user`);
  return id;
}

function groupId(option: string, text: string, accounts: Accounts): number {
  const id = numberOf(text) ?? accounts.group(text)?.gid;
  if (id === undefined) throw usage(`${option} ${text}: there is no such group`);
  return id;
}

function numberOf(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}

/**
 * The program of this process with the same arguments, to start it again. `sockets`: the descriptors that listen at its
 * --socket-path, in order.
 */
export function sameProgram(
  { pairs }: Pick<ServeOptions, 'pairs'>,
  sockets: readonly number[],
  environment: NodeJS.ProcessEnv,
): Program {
  const words = process.argv.slice(1);
  const inherited = pairs.flatMap(({ device, socket }) => [
    ...(typeof device === 'number' ? [device] : []),
    ...('connectedFd' in socket ? [socket.connectedFd] : []),
    ...('listeningFd' in socket && socket.listeningFd !== undefined ? [socket.listeningFd] : []),
  ]);
  return {
    path: process.execPath,
    argv: [
      process.argv0,
      ...process.execArgv,
      ...words,
      ...sockets.flatMap((fd) => ['--listening-fd', `${fd}`]),
    ],
    environment,
    inherited: [...inherited, ...sockets],
    reads: words.slice(0, 1),
  };
}

const usage = (message: string): OperatorError => new OperatorError('ERR_USAGE', message);
