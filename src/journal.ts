/**
 * The journal: if stderr is journald's, each message goes to its own socket, with native fields (systemd, "Native Journal
 * Protocol"). So `journalctl DEVICE=/dev/video0 PRIORITY=4` finds what it is asked for.
 */
import { fstatSync } from 'node:fs';
import { journalMessages } from './journal-messages.js';
import type { LogEntry, LogLevel } from './log.js';
import { native } from './native.js';

const SOCKET = '/run/systemd/journal/socket';
const STDERR = 2;
const IDENTIFIER = 'virtio-media-bridge';

/** syslog's numbers. */
const priorities: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };
/** Fields of the log that have a name of their own in the journal. All others get the prefix. */
const names: Readonly<Record<string, string>> = { device: 'DEVICE', session: 'SESSION', vmm: 'VM' };
const PREFIX = 'VMB_';
/** Bytes of a field's name (systemd: FIELD_NAME_LENGTH_MAX). */
const MAX_NAME = 64;

/** Whether the descriptor is the stream that the service manager has connected to the journal: `JOURNAL_STREAM=dev:inode`. */
export function isJournal({ JOURNAL_STREAM }: NodeJS.ProcessEnv, fd: number = STDERR): boolean {
  const [, device, inode] = /^(\d+):(\d+)$/.exec(JOURNAL_STREAM ?? '') ?? [];
  if (device === undefined || inode === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return dev === BigInt(device) && ino === BigInt(inode);
  } catch {
    return false;
  }
}

/** Sends an entry to the journal. False: it does not take it. */
export function tellJournal(entry: LogEntry, socket: string = SOCKET): boolean {
  return native.sendDatagram(socket, encodeEntry(entry)) === 0;
}

/** The fields of an entry as one datagram. `text` is the line of the log without time and level. */
export function encodeEntry({ level, message, text, stack, fields }: LogEntry): Uint8Array {
  const id = journalMessages.get(message);
  const all: [string, unknown][] = [
    ['MESSAGE', stack === undefined ? text : `${text}\n${stack}`],
    ['PRIORITY', priorities[level]],
    ['SYSLOG_IDENTIFIER', IDENTIFIER],
    ...(id === undefined ? [] : ([['MESSAGE_ID', id]] as [string, string][])),
    ...Object.entries(fields).map(([name, value]): [string, unknown] => [fieldName(name), value]),
  ];
  return Buffer.concat(all.map(([name, value]) => encodeField(name, value)));
}

/** The journal takes capitals, digits and `_`, and no `_` in front. */
const fieldName = (name: string): string =>
  names[name] ?? `${PREFIX}${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`.slice(0, MAX_NAME);

/** A value with a line end needs its length in front: 8 bytes, little-endian. */
function encodeField(name: string, value: unknown): Buffer {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value ?? null));
  const end = Buffer.from('\n');
  if (!bytes.includes('\n')) return Buffer.concat([Buffer.from(`${name}=`), bytes, end]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, end]);
}
