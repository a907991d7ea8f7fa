/** The lines that a test makes the bridge log, as objects. */
import { Writable } from 'node:stream';
import winston from 'winston';
import { log } from '../../src/log.js';

/** Adds the hooks of a suite. The lines of the current test, without their time. */
export function logLines(): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      const { timestamp: _, ...line } = JSON.parse(String(chunk));
      lines.push(line);
      done();
    },
  });
  const transport = new winston.transports.Stream({ stream, format: winston.format.json() });
  before(() => void log.add(transport));
  after(() => void log.remove(transport));
  beforeEach(() => {
    lines.length = 0;
  });
  return lines;
}
