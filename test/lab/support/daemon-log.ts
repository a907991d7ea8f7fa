/** The daemon's log. It is kept instead of printed: a failing test prints it, and other tests may search it. */
import { Writable } from 'node:stream';
import winston from 'winston';
import { configureLog, log } from '../../../src/log.js';

const lines: string[] = [];

/** From now on log lines are kept and not printed. */
export function keepJournal(): void {
  configureLog('debug', 'text');
  lines.length = 0;
  const stream = new Writable({
    decodeStrings: false,
    write: (line: string, _encoding, done) => {
      lines.push(line.trimEnd());
      done();
    },
  });
  log.clear();
  log.add(new winston.transports.Stream({ stream }));
}

/** Lines that contain `text`, since keepJournal(). */
export function journalled(text: string): string[] {
  return lines.filter((line) => line.includes(text));
}

/** Call in afterEach of every suite: prints the daemon's log of a test that failed. */
export function showJournal(test: Mocha.Test | undefined): void {
  if (test?.state === 'failed') console.error(lines.map((line) => `      | ${line}`).join('\n'));
}
