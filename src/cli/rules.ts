/** The command `rules`: prints a udev rule that names a node and serves it. */
import type { Argv, CommandModule } from 'yargs';
import { type NodeMatch, RuleError, rulesOf, type Unplug, unplugChoices } from '../udev-rules.js';
import { OperatorError } from './exit.js';

const one = { type: 'string', nargs: 1 } as const;

const options = ['name', 'serial', 'path', 'driver', 'card', 'index', 'unplug'] as const;

interface Given {
  readonly name: string | undefined;
  readonly serial: string | undefined;
  readonly path: string | undefined;
  readonly driver: string | undefined;
  readonly card: string | undefined;
  readonly index: string;
  readonly unplug: Unplug;
}

export const rules: CommandModule<object, Given> = {
  command: 'rules',
  describe: 'print a udev rule that names a camera or codec, and serves it when it is plugged in',
  builder: (parser: Argv) =>
    parser
      .options({
        name: {
          ...one,
          describe: 'name below /dev and of the socket; %n at its end is the number of the node',
        },
        serial: {
          ...one,
          describe: 'glob of ID_SERIAL (udevadm info): vendor, model and serial number of a USB device',
        },
        path: {
          ...one,
          describe: 'glob of ID_PATH, which is the port, or the name of a link in /dev/v4l/by-path',
        },
        driver: { ...one, describe: 'glob of the kernel driver, such as uvcvideo' },
        card: { ...one, describe: 'glob of the name that the driver gives to the node' },
        index: {
          ...one,
          default: '0',
          describe: 'which node of the device; the second one of a webcam has metadata',
        },
        unplug: {
          ...one,
          choices: unplugChoices,
          default: 'keep',
          describe:
            'when it is unplugged: keep socket and process, which find it again, or stop both (QEMU does not survive that)',
        },
      })
      .example('$0 rules --name deskcam --serial "046d_HD_Pro_Webcam_C920_*"', 'one camera, in any port')
      .example(
        '$0 rules --name codec%n --driver hantro-vpu',
        'every codec of a driver',
      ) as unknown as Argv<Given>,
  handler: (given) => {
    process.stdout.write(ruleText(given));
  },
};

/** Throws ERR_USAGE. */
export function ruleText(given: Given): string {
  const { name, index } = given;
  for (const option of options) if (Array.isArray(given[option])) throw usage(`--${option} is given twice`);
  if (name === undefined) throw usage('--name is missing: the name that the device gets below /dev');
  if (!/^\d{1,3}$/.test(index)) throw usage(`--index must be a number, for example 0, not ${index}`);
  const match: NodeMatch = { ...given, name, index: Number(index) };
  try {
    return rulesOf([match]);
  } catch (error) {
    if (error instanceof RuleError) throw usage(`--${error.key} ${error.message}`);
    throw error;
  }
}

const usage = (message: string): OperatorError => new OperatorError('ERR_USAGE', message);
