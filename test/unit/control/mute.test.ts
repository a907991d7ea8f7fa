/** The commands `mute` and `unmute` of a control socket, over devices that only remember what they were told. */
import assert from 'node:assert/strict';
import { ControlCommands } from '../../../src/control/commands.js';
import { addMute, type MutableDevice } from '../../../src/control/mute.js';

function device(path: string, isMutable = true): MutableDevice {
  const mute = {
    how: null as 'black' | 'none' | null,
    get isMuted() {
      return this.how !== null;
    },
    async mute(how: 'black' | 'none') {
      this.how = how;
    },
    async unmute() {
      this.how = null;
    },
  };
  return { path, isMutable, mute };
}

describe('control: mute', () => {
  let devices: MutableDevice[];
  let commands: ControlCommands;
  beforeEach(() => {
    devices = [device('/dev/video0'), device('/dev/video2'), device('/dev/video4', false)];
    commands = new ControlCommands();
    addMute(commands, () => devices);
  });
  const ask = async (request: object) =>
    (await commands.answer(JSON.stringify({ version: 1, ...request }))) as {
      ok: boolean;
      result?: unknown;
      error?: { code: string; message: string };
    };
  const states = () => devices.map(({ mute }) => mute.how);

  it('refuses arguments that are none, a device that is not served, and one without a picture', async () => {
    for (const [given, code, message] of [
      [{ with: 'grey' }, 'arguments', /"with" is black or none/],
      [{ with: 7 }, 'arguments', /"with" is black or none/],
      [{ device: 7 }, 'arguments', /"device" is the path/],
      [{ device: '/dev/video9' }, 'arguments', /\/dev\/video9 is not served/],
      [{ device: '/dev/video4' }, 'failed', /\/dev\/video4 has no picture of its own to mute/],
    ] as const) {
      const { ok, error } = await ask({ command: 'mute', ...given });
      assert.deepEqual([ok, error?.code], [false, code]);
      assert.match(error!.message, message);
    }
    assert.deepEqual(states(), [null, null, null]);
    devices = [];
    assert.equal((await ask({ command: 'unmute' })).ok, false);
  });

  it('mutes all devices that have a picture, or the one that is named', async () => {
    assert.deepEqual((await ask({ command: 'mute' })).result, [
      { device: '/dev/video0', muted: 'black' },
      { device: '/dev/video2', muted: 'black' },
    ]);
    assert.deepEqual(states(), ['black', 'black', null]);
    const named = await ask({ command: 'mute', device: '/dev/video2', with: 'none' });
    assert.deepEqual(named.result, [{ device: '/dev/video2', muted: 'none' }]);
    await ask({ command: 'unmute', device: '/dev/video0' });
    assert.deepEqual(states(), [null, 'none', null]);
  });
});
