/** The command `status`: what running bridges serve, to whom, and how it goes. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import { ControlClient } from '../control/client.js';
import { OperatorError } from './exit.js';
import type { DaemonStatus } from './observation.js';
import { outputOf } from './output.js';
import { type BridgeStatus, rated, statusText } from './status-table.js';

/** Where daemons of this host have their control sockets. */
const FOLDER = 'virtio-media-bridge';
const SUFFIX = '.control';
/** Milliseconds between two looks: for the rates, and for --watch. */
const SAMPLE_MS = 500;
const WATCH_MS = 1000;

interface StatusFlags {
  readonly control: string[] | undefined;
  readonly json: boolean | undefined;
  readonly watch: boolean | undefined;
}

export const status: CommandModule<object, StatusFlags> = {
  command: 'status',
  describe: 'show what running bridges serve, to whom, and how it goes',
  builder: (parser) =>
    parser
      .option('control', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: `control socket of a bridge; repeat it for more [default: /run/${FOLDER}/*${SUFFIX}]`,
      })
      .option('json', { type: 'boolean', describe: 'print JSON: an array, one element a bridge' })
      .option('watch', { type: 'boolean', describe: 'show it anew each second, until Ctrl-C' }),
  handler: async ({ control, json, watch }) => {
    const bridges = await Promise.all((control ?? defaultSockets()).map(connect));
    try {
      if (watch) await follow(bridges, json);
      else console.log(outputOf(await sampled(bridges), json, statusText));
    } finally {
      for (const { client } of bridges) client.close();
    }
  },
};

interface Bridge {
  readonly socket: string;
  readonly client: ControlClient;
}

const connect = async (socket: string): Promise<Bridge> => ({
  socket,
  client: await ControlClient.connect(socket),
});

/** The control sockets of this host and of this user. Throws ERR_SOCKET_CONNECT: there are none. */
export function defaultSockets(folders: readonly string[] = runFolders()): string[] {
  const found = folders.flatMap((folder) => socketsIn(folder));
  if (found.length > 0) return found;
  throw new OperatorError(
    'ERR_SOCKET_CONNECT',
    `no bridge of this host has a control socket in ${folders.join(' or ')}: start it with --control ${join(folders[0]!, `NAME${SUFFIX}`)}, or name its socket`,
  );
}

const runFolders = (): string[] =>
  ['/run', process.env.XDG_RUNTIME_DIR].flatMap((folder) => (folder ? [join(folder, FOLDER)] : []));

function socketsIn(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith(SUFFIX));
    return names.sort().map((name) => join(folder, name));
  } catch {
    return [];
  }
}

const ask = (bridges: readonly Bridge[]): Promise<BridgeStatus[]> =>
  Promise.all(
    bridges.map(async ({ socket, client }) => ({
      socket,
      ...((await client.ask('status')) as DaemonStatus),
    })),
  );

/** Two looks, if something streams: what is counted between them makes the rates. */
async function sampled(bridges: readonly Bridge[]): Promise<BridgeStatus[]> {
  const first = await look(bridges);
  const streams = first.status.some(({ pairs }) =>
    pairs.some(({ sessions }) => sessions.some(({ queues }) => queues.some(({ streaming }) => streaming))),
  );
  if (!streams) return rated(first.status, first.status, 0);
  await delay(SAMPLE_MS);
  const second = await look(bridges);
  return rated(first.status, second.status, second.at - first.at);
}

interface Look {
  readonly at: number;
  readonly status: readonly BridgeStatus[];
}

async function look(bridges: readonly Bridge[]): Promise<Look> {
  const answer = await ask(bridges);
  return { at: performance.now(), status: answer };
}

/** Until SIGINT, or until a bridge has gone. On a terminal the table is drawn over; otherwise one follows the other. */
async function follow(bridges: readonly Bridge[], isJson: boolean | undefined): Promise<void> {
  const show = await display(isJson);
  let last = await look(bridges);
  for (;;) {
    await delay(WATCH_MS);
    const next = await look(bridges);
    show(rated(last.status, next.status, next.at - last.at));
    last = next;
  }
}

/** JSON: one line each time. */
async function display(isJson: boolean | undefined): Promise<(status: readonly BridgeStatus[]) => void> {
  if (isJson) return (shown) => console.log(JSON.stringify(JSON.parse(outputOf(shown, true, statusText))));
  if (!process.stdout.isTTY) return (shown) => console.log(`${outputOf(shown, false, statusText)}\n`);
  const { default: logUpdate } = await import('log-update');
  return (shown) => logUpdate(outputOf(shown, false, statusText));
}
