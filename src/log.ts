/** Logging. Only this file knows winston. Every layer may use it. */
import { inspect } from 'node:util';
import winston from 'winston';
import { printable, printableStack } from './printable.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
export type LogFormat = 'text' | 'json';
export const logLevels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];
export const logFormats: readonly LogFormat[] = ['text', 'json'];

/** The names that every line has for itself. winston would lose such a field, or show it in the place of its own. */
const reserved = ['level', 'message', 'timestamp', 'stack'] as const;

/** A value of a field. An Error is none, because winston shows it as `{}`: log its message, or use fault(). */
export type FieldValue = string | number | boolean | null | undefined | readonly FieldValue[];
/** What a line says besides its message. */
export type Fields = { readonly [name: string]: FieldValue } & {
  readonly [name in (typeof reserved)[number]]?: never;
};

type Say = (message: string, fields?: Fields) => void;

/** The log of the process. The rest of winston's logger is for the tests. */
export interface Log
  extends Record<LogLevel, Say>,
    Pick<winston.Logger, 'add' | 'remove' | 'clear' | 'silent' | 'level'> {
  /** Logs a fault of the bridge as an error, with the stack of what was thrown. */
  fault(message: string, thrown: unknown, fields?: Fields): void;
}

const line = winston.format.printf(({ level, message, timestamp, stack, ...fields }) => {
  const details = Object.entries(fields)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
  return `${timestamp} ${level}: ${message}${details}${stack ? `\n${stack}` : ''}`;
});

/** Writes to stderr, because stdout is for the result of the command. */
const logger = winston.createLogger({
  level: 'info',
  transports: [new winston.transports.Console({ stderrLevels: [...logLevels] })],
});

export const log: Log = Object.assign(logger, {
  error: sayer('error'),
  warn: sayer('warn'),
  info: sayer('info'),
  debug: sayer('debug'),
  fault: (message: string, thrown: unknown, fields: Fields = {}) =>
    write('error', message, fields, printableStack(thrown)),
});

function sayer(level: LogLevel): Say {
  return (message, fields = {}) => write(level, message, fields);
}

/**
 * Message and fields are made printable here. They go to winston as one entry, because winston drops the fields if a
 * message contains a token such as `%s`.
 */
function write(level: LogLevel, message: string, fields: Fields, stack = stackIn(fields)): void {
  const named = Object.entries(fields).map(([name, value]) => [entryName(name), entryValue(value)]);
  logger.log({
    ...Object.fromEntries(named),
    level,
    message: printable(message),
    ...(stack !== undefined && { stack }),
  });
}

// The types forbid reserved names and other values. At run time they come all the same, and then nothing is lost.

const entryName = (name: string): string =>
  (reserved as readonly string[]).includes(name) ? `${name}_` : printable(name);

function entryValue(value: unknown): unknown {
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.map(entryValue);
  if (value instanceof Error) return printable(String(value));
  const isPlain = value === null || ['number', 'boolean', 'undefined'].includes(typeof value);
  return isPlain ? value : printable(inspect(value, { breakLength: Number.POSITIVE_INFINITY }));
}

function stackIn(fields: object): string | undefined {
  const error = Object.values(fields).find((value) => value instanceof Error);
  return error && printableStack(error);
}

/** Sets the least level that is logged and the form of a line. */
export function configureLog(level: LogLevel, format: LogFormat): void {
  logger.level = level;
  const { combine, timestamp, json } = winston.format;
  logger.format = combine(timestamp(), format === 'json' ? json() : line);
}

configureLog('info', 'text');

const LIMIT_INTERVAL_MS = 5000;
const lastLogged = new Map<string, { at: number; suppressed: number }>();

/** Logs a warning that a guest or VMM can cause at will: at most one line for each `topic` in five seconds. */
export function warnLimited(topic: string, message: string, fields: Fields = {}): void {
  limited(topic, fields, (all) => log.warn(message, all));
}

/** Logs an info line that a guest can cause at will. It has the same limit as warnLimited. */
export function infoLimited(topic: string, message: string, fields: Fields = {}): void {
  limited(topic, fields, (all) => log.info(message, all));
}

/** Logs a fault of the bridge with its stack. It has the same limit as warnLimited. */
export function errorLimited(topic: string, message: string, thrown: unknown): void {
  limited(topic, {}, (all) => log.fault(message, thrown, all));
}

function limited(topic: string, fields: Fields, say: (fields: Fields) => void): void {
  const now = Date.now();
  const last = lastLogged.get(topic);
  if (last && now - last.at < LIMIT_INTERVAL_MS) {
    last.suppressed++;
    return;
  }
  const suppressed = last?.suppressed ?? 0;
  lastLogged.set(topic, { at: now, suppressed: 0 });
  say(suppressed > 0 ? { ...fields, suppressed } : fields);
}
