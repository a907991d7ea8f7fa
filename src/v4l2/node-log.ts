/** What the operator should know about a node when a guest cannot use it. */
import { Errno, errnoName } from '../errno.js';
import { log } from '../log.js';
import type { NodeDescription } from './description.js';
import { type Holders, mappersText, openersText } from './holders.js';
import { waitsForProducer } from './kind.js';
import { capabilityWords } from './names.js';

/**
 * Milliseconds between two lines that say the same, because a guest may try as often as it likes, and between two
 * searches of the host's processes for those that have the node open.
 */
const INTERVAL_MS = 5000;

/** What the operator can do about an errno of open(2). */
const openCures: ReadonlyMap<number, string> = new Map([
  [
    Errno.EACCES,
    'this user needs read and write permission on it again (chgrp video, chmod 0660; a udev rule makes it last)',
  ],
  [Errno.EPERM, 'the container or unit must allow char-video4linux devices'],
  [Errno.EMFILE, 'this process has as many descriptors as it may: raise LimitNOFILE'],
  [Errno.ENFILE, 'the host has as many open files as it may: raise fs.file-max'],
]);

/** The node of the lines. */
export interface LoggedNode {
  readonly path: string;
  /** Which other processes have it open. */
  holders(): Promise<Holders>;
}

export class NodeLog {
  #holdersDue = 0;
  /** The last line about a refusal, and when the same may be said again. */
  #refusal = { text: '', due: 0 };
  /** What the node lacked at the last OPEN, in words. Empty: nothing. */
  #lack = '';

  constructor(private readonly node: LoggedNode) {}

  /** OPEN answers this errno. `absence`: why there is no device. `known`: what the node was, if that is known. */
  refusal(errno: number, absence: string, known: NodeDescription | null): void {
    if (errno === Errno.EBUSY) return this.#holders(openersText);
    const cure = errno === Errno.ENODEV ? absence : (openCures.get(errno) ?? 'see dmesg');
    const text = `a guest cannot open the node (${errnoName(errno)}): ${cure}`;
    const now = performance.now();
    if (text === this.#refusal.text && now < this.#refusal.due) return;
    this.#refusal = { text, due: now + INTERVAL_MS };
    log.warn(text, { device: this.node.path, card: known?.card, busInfo: known?.busInfo });
  }

  /** A session got EBUSY, and not because of this process. */
  busy(): void {
    this.#holders(mappersText);
  }

  /** OPEN answers ENXIO because the node lacks what the guest was told (`lack`: in words). One line, until it lacks something else. */
  lack(lack: string, now: NodeDescription, isVirtual: boolean): void {
    if (lack === this.#lack) return;
    this.#lack = lack;
    const cure = waitsForProducer('video', now.deviceCaps, isVirtual)
      ? 'it waits for a producer'
      : 'reset the guest, or load its driver anew, and it gets the node as it is now';
    log.warn(`a guest cannot open the node (ENXIO): it lacks ${lack}, which the guest was told: ${cure}`, {
      device: this.node.path,
      card: now.card,
      now: capabilityWords(now.deviceCaps).join(' '),
    });
  }

  /** The node lacks nothing: the next lack is news. */
  fits(): void {
    this.#lack = '';
  }

  /** The operator's name leads to another device than before. */
  replaced({ card }: NodeDescription): void {
    log.info('the name leads to another device', { device: this.node.path, card });
  }

  /** Logs the sentence, at most once in five seconds. null: nothing is known, so nothing is logged. */
  #holders(sentence: (found: Holders) => string | null): void {
    const now = performance.now();
    if (now < this.#holdersDue) return;
    this.#holdersDue = now + INTERVAL_MS;
    const { path } = this.node;
    this.node.holders().then(
      (found) => {
        const said = sentence(found);
        if (said !== null) log.warn(`the guest was told EBUSY: ${said}`, { device: path });
      },
      (error) => log.debug('the holders of the node cannot be read', { device: path, error: String(error) }),
    );
  }
}
