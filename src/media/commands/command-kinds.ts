/**
 * Kinds of commands, by which they are counted: the number of an ioctl, or 256 and the code of another command. So a
 * guest cannot make new ones (CommandCounters of addon/command_counters.h).
 */
import { ioctls } from '../../v4l2/ioctls.js';
import { Command, commandHeader, ioctlCommand, RequestCode } from '../protocol.js';

/** An ioctl or command that the bridge does not know. */
export const UNKNOWN = 255;
const COMMANDS = 256;

const requests = Object.entries(RequestCode).map(([name, nr]) => [nr, `REQUEST_${name}`] as const);
const others = Object.entries(Command).filter(([name]) => name !== 'IOCTL');

const names: ReadonlyMap<number, string> = new Map([
  ...[...ioctls.values()].map(({ nr, name }) => [nr, name] as const),
  ...requests,
  ...others.map(([name, code]) => [COMMANDS + code, name] as const),
  [UNKNOWN, 'unknown'],
]);

/** The kind of a command. `request`: its readable part. */
export function kindOf(request: Buffer): number {
  if (request.length < commandHeader.size) return UNKNOWN;
  const { command } = commandHeader.read(request);
  const isIoctl = command === Command.IOCTL && request.length >= ioctlCommand.size;
  const kind = isIoctl ? ioctlCommand.read(request).code : COMMANDS + command;
  return names.has(kind) && isIoctl === kind < COMMANDS ? kind : UNKNOWN;
}

/** `QBUF`, `OPEN`. */
export const kindName = (kind: number): string => names.get(kind) ?? 'unknown';
