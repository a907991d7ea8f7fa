/** The commands `mute` and `unmute`: whether guests get the picture of a camera. */
import type { CommandModule } from 'yargs';
import { ControlClient } from '../control/client.js';
import type { MuteStatus } from '../control/mute.js';
import { outputOf } from './output.js';
import { defaultSockets } from './status.js';

interface MuteFlags {
  readonly device: string | undefined;
  readonly control: string[] | undefined;
  readonly json: boolean | undefined;
  readonly with?: 'black' | 'none';
}

const control = {
  type: 'string',
  array: true,
  nargs: 1,
  describe: 'control socket of a bridge; repeat it for more [default: /run/virtio-media-bridge/*.control]',
} as const;
const json = { type: 'boolean', describe: 'print JSON: an array, one element a device' } as const;
const device = { type: 'string', describe: 'path of a device that is served; none: all of them' } as const;

export const mute: CommandModule<object, MuteFlags> = {
  command: 'mute [device]',
  describe: 'keep the picture of a camera from every guest: it stops, and guests get black frames',
  builder: (parser) =>
    parser
      .positional('device', device)
      .option('with', {
        type: 'string',
        nargs: 1,
        choices: ['black', 'none'] as const,
        default: 'black' as const,
        describe: 'what a guest gets: black frames, or none',
      })
      .options({ control, json }),
  handler: (flags) => tell('mute', flags, { with: flags.with }),
};

export const unmute: CommandModule<object, MuteFlags> = {
  command: 'unmute [device]',
  describe: 'give the picture of a camera to its guests again',
  builder: (parser) => parser.positional('device', device).options({ control, json }),
  handler: (flags) => tell('unmute', flags, {}),
};

/** Asks one bridge after the other. */
async function tell(
  command: string,
  flags: MuteFlags,
  given: Readonly<Record<string, unknown>>,
): Promise<void> {
  const found: MuteStatus[] = [];
  for (const socket of flags.control ?? defaultSockets()) {
    const client = await ControlClient.connect(socket);
    try {
      const asked = { ...given, ...(flags.device !== undefined && { device: flags.device }) };
      found.push(...((await client.ask(command, asked)) as MuteStatus[]));
    } finally {
      client.close();
    }
  }
  console.log(outputOf(found, flags.json, (all) => all.map(sentence).join('\n')));
}

const sentence = ({ device, muted }: MuteStatus): string =>
  muted === null
    ? `${device} is not muted`
    : `${device} is muted: guests get ${muted === 'black' ? 'black frames' : 'no frames'}`;
