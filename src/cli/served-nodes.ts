/** Pairs each device with its socket. */
import { fstatSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ServeOptions } from '../daemon.js';
import { MAX_CARD_BYTES } from '../media/protocol.js';
import { printable } from '../printable.js';
import { OperatorError } from './exit.js';

export type ServedNode = ServeOptions['pairs'][number];

/** The options as the operator wrote them. Each may be repeated. */
export interface ServedNodeFlags {
  readonly device: readonly string[];
  readonly deviceFd: readonly string[];
  readonly socketPath: readonly string[];
  readonly fd: readonly string[];
  /** The descriptors that listen at the socket paths already, in order. */
  readonly listeningFd?: readonly string[];
  /** The names that the guests see. An empty one: the device's own. */
  readonly card?: readonly string[];
}

/** Bytes of sun_path in sockaddr_un, without the NUL. */
const MAX_SOCKET_PATH = 107;
const FIRST_INHERITED = 3;

/**
 * Pairs the n-th device with the n-th socket. `activated`: the descriptors of the sockets that systemd has passed.
 * Throws ERR_USAGE, ERR_DESCRIPTOR.
 */
export function servedNodesOf(flags: ServedNodeFlags, activated: readonly number[]): ServedNode[] {
  const devices = devicesOf(flags);
  const sockets = socketsOf(flags, activated);
  if (devices.length !== sockets.length)
    throw usage(
      `${counted(devices.length, 'device')} but ${counted(sockets.length, 'socket')}: give each device one socket, in the same order`,
    );
  const cards = cardsOf(flags.card ?? [], devices.length);
  return devices.map((device, index) => {
    const card = cards[index];
    return { device, socket: sockets[index]!, ...(card && { card }) };
  });
}

function cardsOf(cards: readonly string[], devices: number): readonly string[] {
  if (cards.length > devices)
    throw usage(
      `${counted(cards.length, '--card')} but ${counted(devices, 'device')}: the n-th names the n-th device; '' leaves a device its own name`,
    );
  for (const card of cards) {
    if (Buffer.byteLength(card) > MAX_CARD_BYTES)
      throw usage(
        `--card ${card} has ${Buffer.byteLength(card)} bytes: the guest has room for ${MAX_CARD_BYTES}`,
      );
    if (printable(card) !== card)
      throw usage(`--card ${JSON.stringify(card)} has characters that cannot be shown`);
  }
  return cards;
}

function devicesOf({ device, deviceFd }: ServedNodeFlags): ServedNode['device'][] {
  if (device.length > 0 && deviceFd.length > 0) throw usage('use either --device or --device-fd, not both');
  if (deviceFd.length > 0)
    return descriptors('--device-fd', deviceFd, 'a device', (s) => s.isCharacterDevice());
  if (device.length === 0)
    throw usage(
      '--device is missing: name a node, for example --device /dev/video0 (the command list shows them)',
    );
  if (device.includes('')) throw usage('--device is empty: name a node, for example --device /dev/video0');
  return [...device];
}

function socketsOf(flags: ServedNodeFlags, activated: readonly number[]): ServedNode['socket'][] {
  const { socketPath, fd } = flags;
  if (socketPath.length > 0 && fd.length > 0) throw usage('--socket-path and --fd exclude each other');
  if (activated.length > 0 && socketPath.length + fd.length > 0)
    throw usage('systemd passed the sockets already: leave --socket-path and --fd out');
  if (fd.length > 0)
    return descriptors('--fd', fd, 'a socket', (s) => s.isSocket()).map((connectedFd) => ({ connectedFd }));
  if (socketPath.length > 0) return listening(paths(socketPath), flags.listeningFd ?? []);
  if (activated.length > 0) return activated.map((listeningFd) => ({ listeningFd }));
  throw usage(
    '--socket-path is missing: name the socket that the VMM connects to, for example --socket-path /run/vmb/video0.sock',
  );
}

function paths(given: readonly string[]): { path: string }[] {
  for (const path of given) {
    if (path === '') throw usage('--socket-path is empty: name the socket that the VMM connects to');
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
      throw usage(
        `--socket-path ${path} has more than ${MAX_SOCKET_PATH} bytes: use a shorter path, for example below /run`,
      );
  }
  const twice = repeated(given.map((path) => resolve(path)));
  if (twice !== undefined)
    throw usage(`--socket-path ${twice} is given twice: each device needs a socket of its own`);
  return given.map((path) => ({ path }));
}

function listening(sockets: { path: string }[], given: readonly string[]): ServedNode['socket'][] {
  if (given.length === 0) return sockets;
  const fds = descriptors('--listening-fd', given, 'a socket', (s) => s.isSocket());
  if (fds.length !== sockets.length)
    throw usage(`${counted(sockets.length, '--socket-path')} but ${counted(fds.length, '--listening-fd')}`);
  return sockets.map(({ path }, index) => ({ path, listeningFd: fds[index]! }));
}

function descriptors(
  option: string,
  given: readonly string[],
  what: string,
  fits: (status: ReturnType<typeof fstatSync>) => boolean,
): number[] {
  const numbers = given.map((text) => {
    const fd = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    if (fd < FIRST_INHERITED)
      throw usage(`${option} must be the number of an inherited descriptor, 3 or more, not ${text}`);
    if (!fits(statusOf(option, fd)))
      throw new OperatorError('ERR_DESCRIPTOR', `${option} ${fd} is not ${what}`);
    return fd;
  });
  const twice = repeated(numbers);
  if (twice !== undefined) throw usage(`${option} ${twice} is given twice`);
  return numbers;
}

function statusOf(option: string, fd: number): ReturnType<typeof fstatSync> {
  try {
    return fstatSync(fd);
  } catch {
    throw new OperatorError(
      'ERR_DESCRIPTOR',
      `${option} ${fd} is not open: the parent process must pass it on without close-on-exec`,
    );
  }
}

const repeated = <T>(values: readonly T[]): T | undefined =>
  values.find((value, index) => values.indexOf(value) !== index);
const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
const usage = (message: string): OperatorError => new OperatorError('ERR_USAGE', message);
