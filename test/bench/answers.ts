/**
 * `node dist/test/bench/answers.js DAEMON [COMMANDS] [SEED]`: sends the same commands, which look random, to a daemon on
 * the fake node, and prints a line for each: the bytes of the command and of its answer. The lines of two versions of
 * the daemon can be compared. Every ioctl has its turn, with odd payloads, odd cuts, indirect tables and short room.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { ioctls } from '../../src/v4l2/ioctls.js';
import { BackEnd } from './back-end.js';
import { FakeDevice } from './fake-device.js';
import { Numbers } from './numbers.js';
import { buildParts } from './parts.js';

const IOCTL = 3;
const HEADER = 16;
const RESPONSE = 8;
const WORDS = [0, 1, 1, 1, 2, 4, 8, 9, 10, 0x0098_0900, 0x0098_0901, 0x5659_5559, 640, 480, 0xffff_ffff];

/** A command of a session: mostly a payload that is right, sometimes one that is too short or too long. */
function commandOf(numbers: Numbers, session: number): { command: Buffer; room: number } {
  const rows = [...ioctls.values()];
  const row = numbers.below(30) === 0 ? undefined : rows[numbers.below(rows.length)]!;
  const size = row?.size ?? 64;
  const after = numbers.below(3) === 0 ? 64 * numbers.below(4) : 0;
  const body = Buffer.alloc(
    Math.max(0, size + after - (numbers.below(20) === 0 ? 1 + numbers.below(size) : 0)),
  );
  for (let at = 0; at + 4 <= body.length && at < 40; at += 4)
    if (numbers.below(3) > 0) body.writeUInt32LE(WORDS[numbers.below(WORDS.length)]!, at);
  const command = Buffer.alloc(HEADER + body.length);
  const id = numbers.below(40) === 0 ? 99 : session;
  for (const [index, word] of [IOCTL, 0, id, row?.nr ?? numbers.below(256)].entries())
    command.writeUInt32LE(word, 4 * index);
  command.set(body, HEADER);
  const whole = RESPONSE + size + after;
  return { command, room: numbers.below(10) === 0 ? numbers.below(whole) : whole };
}

const [REQBUFS, QBUF, STREAMON, STREAMOFF, S_PARM] = [8, 15, 18, 19, 22];
const BUFFER_IOCTLS = new Set([9, 15, 93]);
const BUFFERS = 4;

const u32 = (...words: readonly number[]) => Buffer.from(Uint32Array.from(words).buffer);
const ask = (session: number, nr: number, payload: Buffer) => ({
  command: Buffer.concat([u32(IOCTL, 0, session, nr), payload]),
  room: RESPONSE + payload.length,
});
const queue = (session: number, index: number, flags = 0, memory = 1, type = 1) =>
  ask(
    session,
    QBUF,
    Buffer.concat([u32(index, type, 0, flags), Buffer.alloc(44), u32(memory), Buffer.alloc(24)]),
  );

/** A stream in which buffers are queued in right and wrong ways. */
function* streamOf(numbers: Numbers, session: number) {
  // Without a rate, the fake node returns a buffer as soon as it has it.
  yield ask(session, S_PARM, Buffer.concat([u32(1), Buffer.alloc(200)]));
  yield ask(session, REQBUFS, Buffer.concat([u32(BUFFERS, 1, 1), Buffer.alloc(8)]));
  for (let index = 0; index < BUFFERS; index++) yield queue(session, index);
  yield ask(session, STREAMON, u32(1));
  for (let n = 0; n < 60; n++) {
    const flags = numbers.below(4) === 0 ? 1 << numbers.below(24) : 0;
    const memory = numbers.below(10) === 0 ? numbers.below(5) : 1;
    const right = queue(session, numbers.below(BUFFERS + 1), flags, memory, numbers.below(12) === 0 ? 9 : 1);
    const cut = numbers.below(10) === 0 ? numbers.below(right.command.length) : right.command.length;
    yield { command: right.command.subarray(0, cut), room: numbers.below(10) === 0 ? 50 : right.room };
  }
  yield ask(session, STREAMOFF, u32(1));
  yield ask(session, REQBUFS, Buffer.concat([u32(0, 1, 1), Buffer.alloc(8)]));
}

/** Waits for the frame of each buffer that is queued, so that the next command finds the queue as it was in other runs. */
class Frames {
  #isStreaming = false;
  #owed = 0;

  constructor(
    private readonly driver: GuestDriver,
    private readonly session: number,
  ) {}

  async after(command: Buffer, answer: Buffer): Promise<void> {
    if (command.length < HEADER || answer.readUInt32LE(0) !== 0) return;
    const nr = command.readUInt32LE(12);
    if (nr === QBUF) this.#owed++;
    if (nr === STREAMON || nr === STREAMOFF) this.#isStreaming = nr === STREAMON;
    for (; this.#isStreaming && this.#owed > 0; this.#owed--) {
      const { kind } = await this.driver.nextEvent(this.session);
      assert.equal(kind, 'dqbuf');
    }
  }
}

export async function answers(daemon: string, count: number, seed: number): Promise<string[]> {
  buildParts();
  const words = [process.execPath, daemon, 'serve', '--device', '@DEVICE@', '--socket-path', '@SOCKET@'];
  const backEnd = await BackEnd.start('the daemon', new FakeDevice(), '0-1', words);
  const lines: string[] = [];
  try {
    const vmm = await Vmm.connect(backEnd.socket, { vmm: 'qemu' });
    const driver = await GuestDriver.probe(vmm, { timeout: 20_000 });
    const numbers = new Numbers(seed);
    const sessions = [await driver.open(), await driver.open()];
    const one = async ({ command, room }: { command: Buffer; room: number }) => {
      const refused = (error: Error) => Buffer.from(error.message);
      const answer = Buffer.from(await driver.command(command, room).catch(refused));
      // The timestamp of the buffer's last frame.
      if (command.length >= HEADER && BUFFER_IOCTLS.has(command.readUInt32LE(12)))
        answer.subarray(RESPONSE + 24, RESPONSE + 40).fill(0);
      const asked = createHash('sha256').update(command).digest('hex').slice(0, 12);
      lines.push(
        `${lines.length} ${command.toString('hex', 0, 64)} ${asked} ${room}: ${answer.toString('hex')}`,
      );
      return answer;
    };
    while (lines.length < count) {
      const session = sessions[numbers.below(2)]!;
      if (numbers.below(200) > 0) await one(commandOf(numbers, session));
      else {
        const frames = new Frames(driver, session);
        for (const each of streamOf(numbers, session)) await frames.after(each.command, await one(each));
      }
    }
    driver.remove();
    vmm.close();
  } finally {
    await backEnd.stop();
  }
  return lines;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [daemon, count = '3000', seed = '1'] = process.argv.slice(2);
  for (const line of await answers(daemon!, Number(count), Number(seed))) console.log(line);
}
