/** What the journal gets of a message: native fields, byte for byte (systemd, "Native Journal Protocol"). */
import assert from 'node:assert/strict';
import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeEntry, isJournal, tellJournal } from '../../src/journal.js';
import { journalMessages } from '../../src/journal-messages.js';
import type { LogEntry } from '../../src/log.js';
import { read } from './support/document.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const entry: LogEntry = {
  level: 'warn',
  message: 'a front-end connected',
  text: 'a front-end connected device=/dev/video0',
  stack: undefined,
  fields: { device: '/dev/video0', vmm: 12, session: 3, 'odd name': [1, 'ä'] },
};

describe('journal', () => {
  it('is there if stderr is the stream that the service manager names', () => {
    const { dev, ino } = fstatSync(2, { bigint: true });
    assert.equal(isJournal({ JOURNAL_STREAM: `${dev}:${ino}` }), true);
    for (const JOURNAL_STREAM of [
      undefined,
      '',
      `${dev}:${ino + 1n}`,
      `${dev + 1n}:${ino}`,
      `${dev}`,
      'a:b',
      `${dev}:${ino} `,
    ])
      assert.equal(isJournal(JOURNAL_STREAM === undefined ? {} : { JOURNAL_STREAM }), false, JOURNAL_STREAM);
    assert.equal(isJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, 9999), false, 'a closed descriptor');
  });

  it('gets the message, its severity, its id, and the fields by their names', () => {
    assert.equal(
      Buffer.from(encodeEntry(entry)).toString(),
      [
        'MESSAGE=a front-end connected device=/dev/video0',
        'PRIORITY=4',
        'SYSLOG_IDENTIFIER=virtio-media-bridge',
        'MESSAGE_ID=540fe10288fc4ca3979bbe8bf3ea4b27',
        'DEVICE=/dev/video0',
        'VM=12',
        'SESSION=3',
        'VMB_ODD_NAME=[1,"ä"]',
        '',
      ].join('\n'),
    );
  });

  it('gets a stack with its length in front, and no id of a message that has none', () => {
    const stack = `Error: x\n${'    at y\n'.repeat(40)}`;
    const bytes = Buffer.from(
      encodeEntry({ ...entry, level: 'error', message: 'm', text: 'm', stack, fields: {} }),
    );
    const length = `m\n${stack}`.length;
    assert.equal(bytes.subarray(0, 8).toString(), 'MESSAGE\n');
    assert.equal(bytes.readBigUInt64LE(8), BigInt(length));
    assert.equal(bytes.subarray(16, 16 + length).toString(), `m\n${stack}`);
    assert.equal(
      bytes.subarray(16 + length).toString(),
      '\nPRIORITY=3\nSYSLOG_IDENTIFIER=virtio-media-bridge\n',
    );
  });

  it('says whether it took the message', () => {
    assert.equal(tellJournal(entry, '/nonexistent/socket'), false);
  });

  it('has an id for messages that the source has, each once, and docs/control.md lists them', () => {
    const files = (readdirSync(join(root, 'src'), { recursive: true }) as string[]).filter(
      (path) => path.endsWith('.ts') && path !== 'journal-messages.ts',
    );
    const source = files.map((path) => readFileSync(join(root, 'src', path), 'utf8')).join('\n');
    const page = read('docs/control.md');
    for (const [message, id] of journalMessages) {
      assert.ok(source.includes(`'${message}'`), message);
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.ok(page.includes(id) && page.includes(message), `${id} ${message}`);
    }
    assert.equal(new Set(journalMessages.values()).size, journalMessages.size);
  });
});
