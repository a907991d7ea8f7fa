/** One run after another: the floors, the node itself, ours and a peer as each VMM has them. */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackEnd, residentOf } from './back-end.js';
import type { FakeDevice } from './fake-device.js';
import { floorsOn, guest, type Line, type Manner, native } from './lat.js';
import { Launched } from './launched.js';
import type { Cores, Options } from './options.js';
import { parts } from './parts.js';
import { processorsFor } from './processors.js';
import { Samples } from './samples.js';
import { callsOf, canCount } from './system-calls.js';

export const serve = [...[parts.daemon, 'serve'], ...['--device', '@DEVICE@', '--socket-path', '@SOCKET@']];
/** What is counted: how often in the shorter guest, and how often if it has to be quick. It outweighs what a process does for itself. */
const COUNTED = [
  ['G_INPUT', 500, 200],
  ['rate120', 240, 60],
  ['stream', 500, 200],
] as const;
/** Milliseconds between the start of a process and the look at its memory. */
const REST = 500;
const SHORT_REST = 50;

interface Subject {
  readonly name: string;
  readonly manner: Manner;
  readonly command: readonly string[];
}

/** Each VMM in turn, ours before the peer. */
export function subjectsOf({ vmms, peer }: Pick<Options, 'vmms' | 'peer'>): Subject[] {
  const all = [...new Set([...vmms, ...(peer?.vmms ?? [])])];
  return all.flatMap((vmm) => [
    ...(vmms.includes(vmm) ? [{ name: `ours ${vmm}`, manner: { vmm }, command: serve }] : []),
    ...(peer?.vmms.includes(vmm)
      ? [{ name: `${peer.name} ${vmm}`, manner: { vmm, echo: peer.echo }, command: peer.command }]
      : []),
  ]);
}

/** What Node itself takes: until `node -e 0` has ended, and at rest. */
async function nodeItself(processors: string, rest: number): Promise<Line[]> {
  const from = performance.now();
  const nothing = new Launched({ command: [process.execPath, '-e', '0'], processors });
  await nothing.ended;
  const start = performance.now() - from;
  const command = [process.execPath, '-e', 'setInterval(() => undefined, 1e9)'];
  const idle = new Launched({ command, processors });
  await sleep(rest + start);
  const resident = residentOf(idle.pid);
  await idle.stop();
  return [
    { phase: 'process', key: 'start', value: start },
    { phase: 'process', key: 'resident', value: resident },
  ];
}

export class Bench {
  readonly samples = new Samples();

  constructor(
    private readonly options: Options,
    private readonly device: FakeDevice,
    private readonly tell: (line: string) => void,
  ) {}

  get #rest(): number {
    return this.options.quick ? SHORT_REST : REST;
  }

  async run(): Promise<Samples> {
    const { runs, cores } = this.options;
    await this.#tryPeer();
    for (let run = 1; run <= runs; run++)
      for (const each of cores) {
        await this.#once(run, each);
        this.tell(`run ${run} of ${runs}, ${each === 1 ? 'one core' : 'two cores'}: load ${load()}`);
      }
    if (canCount()) for (const each of cores) await this.#countCalls(each);
    else this.tell('there is no strace: system calls are not counted');
    return this.samples;
  }

  /** A peer that does not start is told at once, not after a run of ours. */
  async #tryPeer(): Promise<void> {
    const { peer, cores } = this.options;
    if (!peer) return;
    const backEnd = await BackEnd.start(peer.name, this.device, processorsFor(cores[0]!), peer.command);
    await backEnd.stop();
  }

  async #once(run: number, cores: Cores): Promise<void> {
    const { phases, quick } = this.options;
    const processors = processorsFor(cores);
    const add = (subject: string, lines: readonly Line[]) =>
      this.samples.add(...lines.map((line) => ({ cores, run, subject, ...line })));
    for (const line of await floorsOn(processors, quick ? 100 : 5000))
      add(line.phase === 'hop' ? 'hop' : 'lane hop', [line]);
    add('node -e', await nodeItself(processors, this.#rest));
    add('native', await native(this.device, processors, phases));
    for (const subject of subjectsOf(this.options))
      add(subject.name, await this.#measure(subject, processors));
  }

  async #measure({ name, manner, command }: Subject, processors: string): Promise<Line[]> {
    const backEnd = await BackEnd.start(name, this.device, processors, command);
    try {
      const resident = await backEnd.resident(this.#rest);
      return [
        { phase: 'process', key: 'start', value: backEnd.start },
        { phase: 'process', key: 'resident', value: resident },
        ...(await guest(backEnd, manner, this.options.phases)),
      ];
    } finally {
      await backEnd.stop();
    }
  }

  /** Once, because a number of calls is no time: it is part of run 1. */
  async #countCalls(cores: Cores): Promise<void> {
    const { quick } = this.options;
    const subjects = subjectsOf(this.options).slice(0, quick ? 1 : undefined);
    for (const { name, manner, command } of subjects)
      for (const [phase, count, few] of COUNTED) {
        const start = () => BackEnd.start(name, this.device, processorsFor(cores), command);
        const value = await callsOf(start, manner, phase, quick ? few : count);
        this.samples.add({ cores, run: 1, subject: name, phase: 'calls', key: phase, value });
      }
  }
}

/** Of the last minute, by the kernel's count. */
export const load = () => loadavg()[0]!.toFixed(1);
