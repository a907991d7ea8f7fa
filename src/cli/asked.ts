/** What a command line of `serve` asks for, with or without a configuration. */
import type { Daemon, ServeOptions } from '../daemon.js';
import type { LogFormat, LogLevel } from '../log.js';
import type { ObservationFlags } from './observation.js';
import type { PrivilegeFlags } from './privileges.js';

/** What a reload did. Each text is one thing, by name. */
export interface ReloadReport {
  readonly applied: readonly string[];
  readonly needsRestart: readonly string[];
  /** What is wrong. If it is the configuration, nothing was applied. */
  readonly faults: readonly string[];
}

/** Reads the configuration again, and changes what can change. Reports in the log too. Never rejects. */
export type Reload = () => Promise<ReloadReport>;

/** The part of Daemon that a reload needs. */
export type Changeable = Pick<Daemon, 'add' | 'remove' | 'change' | 'hasVmm'>;

export interface Asked {
  readonly options: ServeOptions;
  readonly privileges: PrivilegeFlags;
  /** Those of each pair. Absent: `privileges` holds for all. */
  readonly pairPrivileges?: readonly PrivilegeFlags[];
  readonly observation: ObservationFlags;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  readonly configuration?: {
    readonly file: string;
    /** `daemon`: asked when there is something to change. `pairs`: what it serves, one pair for each node. */
    reloadOf(daemon: () => Changeable, pairs: ServeOptions['pairs']): Promise<Reload>;
    /** The error of a flag, at its place in the file if its value is from there. */
    placed(error: unknown): unknown;
  };
}
