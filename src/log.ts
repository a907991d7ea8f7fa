/** Logging. Only this file knows winston. Every layer may use it. */
import winston from 'winston';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
export type LogFormat = 'text' | 'json';
export const logLevels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];
export const logFormats: readonly LogFormat[] = ['text', 'json'];

const line = winston.format.printf(({ level, message, timestamp, stack, ...fields }) => {
  const details = Object.entries(fields)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
  return `${timestamp} ${level}: ${message}${details}${stack ? `\n${stack}` : ''}`;
});

/** Writes to stderr, because stdout is for the result of the command. */
export const log = winston.createLogger({
  level: 'info',
  transports: [new winston.transports.Console({ stderrLevels: [...logLevels] })],
});

/** Sets the least level that is logged and the form of a line. */
export function configureLog(level: LogLevel, format: LogFormat): void {
  log.level = level;
  const { combine, timestamp, errors, json } = winston.format;
  log.format = combine(errors({ stack: true }), timestamp(), format === 'json' ? json() : line);
}

configureLog('info', 'text');

const LIMIT_INTERVAL_MS = 5000;
const lastLogged = new Map<string, { at: number; suppressed: number }>();

/** Logs a warning that a guest or VMM can cause at will: at most one line for each `topic` in five seconds. */
export function warnLimited(topic: string, message: string, fields: Record<string, unknown> = {}): void {
  limited('warn', topic, message, fields);
}

/** Logs an info line that a guest can cause at will. It has the same limit as warnLimited. */
export function infoLimited(topic: string, message: string, fields: Record<string, unknown> = {}): void {
  limited('info', topic, message, fields);
}

/** Logs a fault of the bridge with its stack. It has the same limit as warnLimited. */
export function errorLimited(topic: string, message: string, error: unknown): void {
  limited('error', topic, message, { stack: error instanceof Error ? error.stack : String(error) });
}

function limited(
  level: 'info' | 'warn' | 'error',
  topic: string,
  message: string,
  fields: Record<string, unknown>,
): void {
  const now = Date.now();
  const last = lastLogged.get(topic);
  if (last && now - last.at < LIMIT_INTERVAL_MS) {
    last.suppressed++;
    return;
  }
  const suppressed = last?.suppressed ?? 0;
  lastLogged.set(topic, { at: now, suppressed: 0 });
  log.log(level, message, suppressed > 0 ? { ...fields, suppressed } : fields);
}
