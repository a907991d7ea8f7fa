/** What a daemon tells of its pairs: the numbers behind `status` and the metrics. */
import { type CommandStatus, commandStatuses, type FrameStatus, frameStatus } from '../media/status.js';
import { bufferTypeWord } from '../v4l2/names.js';
import type { TenantReport } from './tenants.js';

/** One pair of node and socket. */
export interface PairReport extends TenantReport {
  /** Path of the node. */
  readonly device: string;
  /** The name that the guest sees. */
  readonly card: string;
  /** What identifies the device, in words. null: it is not known. */
  readonly identity: string | null;
  /** The path of the socket. null: it was inherited. */
  readonly socket: string | null;
}

/** The same as JSON: of the totals what an operator reads. */
export interface PairStatus extends Omit<PairReport, 'totals'> {
  /** By buffer type: all sessions since the start. */
  readonly frames: Readonly<Record<string, FrameStatus>>;
  readonly commands: readonly CommandStatus[];
}

export function pairStatus({ totals, ...report }: PairReport): PairStatus {
  const frames = [...totals.frames].map(([type, counts]) => [bufferTypeWord(type), frameStatus(counts)]);
  return { ...report, frames: Object.fromEntries(frames), commands: commandStatuses(totals) };
}
