/** Reads the configuration of a running `serve` again. */
import { type Change, changeOf, nameOf, type Served, servedOf } from '../config/change.js';
import { type Configuration, faultText, type Settings, textOf } from '../config/configuration.js';
import type { Effect } from '../config/key.js';
import type { ServePair } from '../daemon.js';
import { configureLog, type LogFormat, type LogLevel, log } from '../log.js';
import { accounts } from '../privileges.js';
import type { Changeable, Reload, ReloadReport } from './asked.js';
import { keys } from './config-keys.js';
import { pairOf, privilegesIn } from './config-pairs.js';
import { faultOf, readSource, type Source } from './config-source.js';
import { withPrivileges } from './privileges.js';

/** What a process began with. */
export interface Beginning {
  readonly source: Source;
  readonly configuration: Configuration;
  /** One for each node. */
  readonly pairs: readonly ServePair[];
}

/** A node that is served, and its pair. */
interface Running {
  served: Served;
  pair: ServePair;
}

/** What a node that is served becomes. */
interface Next extends Running {
  readonly running: Running;
}

/** When a change holds, behind its name. */
const since: Readonly<Record<Exclude<Effect, 'restart'>, string>> = {
  now: '',
  'new connections': ' (for new connections)',
  'new sessions': ' (for new sessions)',
  'the next VM': ' (for the next VM)',
};

/** One reload comes after the other. */
export function reloadOf(beginning: Beginning, daemon: () => Changeable): Reload {
  const reloading = new Reloading(beginning, daemon);
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(() => reloading.run());
    last = next;
    return next;
  };
}

class Reloading {
  readonly #source: Source;
  #settings: Settings;
  #running: Running[];

  constructor(
    { source, configuration, pairs }: Beginning,
    private readonly daemon: () => Changeable,
  ) {
    this.#source = source;
    this.#settings = configuration.settings;
    this.#running = servedOf(configuration).map((served, index) => ({ served, pair: pairs[index]! }));
  }

  async run(): Promise<ReloadReport> {
    const report = await this.#attempt().catch((error: unknown) => only((error as Error).message));
    const file = this.#source.file;
    log.info('the configuration was read again', { file });
    for (const text of report.applied) log.info(`changed: ${text}`);
    for (const text of report.needsRestart) log.warn(`needs a restart: ${text}`);
    for (const text of report.faults) log.error(`not changed: ${text}`);
    return report;
  }

  async #attempt(): Promise<ReloadReport> {
    const { configuration, faults } = readSource(this.#source);
    if (faults.length > 0) return only(...faults.map((fault) => faultText(this.#source.file, fault)));
    const before = { settings: this.#settings, nodes: this.#running.map(({ served }) => served) };
    const change = changeOf(before, configuration, keys);
    // Whatever may be refused is made before anything changes.
    let next: Next[];
    try {
      next = change.kept.map(({ before: old, after }) => this.#next(old, after));
    } catch (error) {
      const fault = faultOf(error, configuration);
      if (!fault) throw error;
      return only(faultText(this.#source.file, fault));
    }
    const report = { applied: [] as string[], needsRestart: [] as string[], faults: [] as string[] };
    for (const { name, of, effect } of change.keys)
      if (effect === 'restart') report.needsRestart.push(of ? `${of}: ${name}` : name);
      else report.applied.push(`${of ? `${of}: ` : ''}${name}${since[effect]}`);
    this.#settings = change.settings;
    configureLog(
      textOf(change.settings, 'log-level') as LogLevel,
      textOf(change.settings, 'log-format') as LogFormat,
    );
    for (const { running, served, pair } of next) {
      this.daemon().change(running.pair, pair);
      Object.assign(running, { served, pair });
    }
    this.#remove(change, report);
    await this.#add(change, report);
    return report;
  }

  /** What a node that stays becomes: its socket and its device are as they were. */
  #next(before: Served, after: Served): Next {
    const running = this.#running.find(({ served }) => served === before)!;
    const { device, socket } = running.pair;
    const passed = !('path' in socket) && 'listeningFd' in socket ? socket.listeningFd : undefined;
    const pair = this.#permitted({ ...pairOf(after, passed), device, socket }, after);
    return { running, served: after, pair };
  }

  #permitted(pair: ServePair, served: Served): ServePair {
    return withPrivileges(pair, privilegesIn(this.#settings, served), process.geteuid!(), accounts);
  }

  #remove({ removed }: Change, report: Lists): void {
    for (const served of removed) {
      const running = this.#running.find((each) => each.served === served)!;
      if (!('path' in running.pair.socket)) {
        report.needsRestart.push(`${nameOf(served)}: not served any more`);
        continue;
      }
      const stays = this.daemon().hasVmm(running.pair) ? ' when its VM has left' : '';
      this.daemon().remove(running.pair);
      this.#running = this.#running.filter((each) => each !== running);
      report.applied.push(`${nameOf(served)}: not served any more${stays}`);
    }
  }

  async #add({ added }: Change, report: Lists): Promise<void> {
    for (const served of added) {
      if (!served.node.settings.has('socket-path')) {
        report.needsRestart.push(`${nameOf(served)}: served, on a socket that was passed on`);
        continue;
      }
      try {
        const pair = this.#permitted(pairOf(served), served);
        await this.daemon().add(pair);
        this.#running.push({ served, pair });
        report.applied.push(`${nameOf(served)}: served`);
      } catch (error) {
        report.faults.push(`${nameOf(served)}: ${(error as Error).message.replace(/\.$/, '')}`);
      }
    }
  }
}

type Lists = { readonly [Name in keyof ReloadReport]: string[] };

const only = (...faults: readonly string[]): ReloadReport => ({ applied: [], needsRestart: [], faults });
