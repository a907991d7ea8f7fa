/** SG lists of struct virtio_media_sg_entry (VIRTIO 1.4, Media Device, "Handling of pointers to userspace memory"). */
import { Errno } from '../../errno.js';
import { failure, type Result } from '../../result.js';
import { Price, type Turn } from '../../virtio/turn.js';
import { sgEntry } from '../protocol.js';

const { start: START, length: LENGTH } = sgEntry.offset;
const HIGH = 0x1_0000_0000;

/** An SG list that covers exactly `size` bytes. It is a view of the entries in their wire form, 16 bytes each. */
export class SgList {
  constructor(
    private readonly view: DataView,
    /** Byte offset of the first entry in the view. */
    private readonly from: number,
    /** Number of entries. */
    readonly count: number,
    /** Bytes of guest memory that the list covers. */
    readonly size: number,
  ) {}

  /** Bytes of the entries themselves. */
  get bytes(): number {
    return this.count * sgEntry.size;
  }

  /** Guest address of the piece at `index`. */
  start(index: number): number {
    return startAt(this.view, this.from + index * sgEntry.size);
  }

  /** Bytes of the piece at `index`. The last entry may name more bytes than the list covers. */
  length(index: number): number {
    return lengthAt(this.view, this.from + index * sgEntry.size);
  }

  /** A copy of the list in which entries that are neighbours in guest memory are joined. Divided over several turns. */
  async joined(turn: Turn): Promise<SgList> {
    const view = new DataView(new ArrayBuffer(this.bytes));
    let left = this.size;
    let at = -sgEntry.size;
    for (let index = 0, end = -1; index < this.count; index++) {
      while (turn.over) await turn.next();
      turn.spend(Price.JOINED_ENTRY);
      const start = this.start(index);
      const length = Math.min(this.length(index), left);
      if (start !== end) at += sgEntry.size;
      if (start !== end) setStart(view, at, start);
      view.setUint32(at + LENGTH, lengthAt(view, at) + length, true);
      end = start + length;
      left -= length;
    }
    const used = at + sgEntry.size;
    const own = used < this.bytes ? new DataView(view.buffer.slice(0, used)) : view;
    return new SgList(own, 0, used / sgEntry.size, this.size);
  }

  /** Whether a joined list covers the same bytes of guest memory in the same order. Divided over several turns. */
  async isSame(joined: SgList, turn: Turn): Promise<boolean> {
    if (joined.size !== this.size) return false;
    let left = this.size;
    for (let index = 0, piece = 0, inside = 0; left > 0; index++) {
      while (turn.over) await turn.next();
      turn.spend(Price.ENTRY);
      const length = Math.min(this.length(index), left);
      if (inside === joined.length(piece)) [piece, inside] = [piece + 1, 0];
      if (this.start(index) !== joined.start(piece) + inside) return false;
      inside += length;
      if (inside > joined.length(piece)) return false;
      left -= length;
    }
    return true;
  }
}

/** Reads SG lists that follow one another. A list has as many entries as are needed to cover its bytes. */
export class SgLists {
  /** Byte offset of the current list. */
  #from = 0;
  /** Byte offset of the next entry. */
  #at = 0;
  /** Bytes of guest memory that the entries between them cover. */
  #covered = 0;
  readonly #view: DataView;

  constructor(
    { buffer, byteOffset, byteLength }: Uint8Array,
    private readonly turn: Turn,
  ) {
    this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  /**
   * The next list, which covers `size` bytes, as a view of the guest's bytes. Addresses are not looked up. EINVAL: the
   * entries end too early, or an entry is empty or too large. Null: the turn is used up; repeat the call later.
   */
  next(size: number): Result<SgList> | null {
    const { turn } = this;
    const view = this.#view;
    while (this.#covered < size) {
      if (turn.over) return null;
      turn.spend(Price.ENTRY);
      const at = this.#at;
      if (at + sgEntry.size > view.byteLength) return failure(Errno.EINVAL);
      const piece = Math.min(lengthAt(view, at), size - this.#covered);
      if (piece === 0 || !Number.isSafeInteger(startAt(view, at) + piece)) return failure(Errno.EINVAL);
      this.#at = at + sgEntry.size;
      this.#covered += piece;
    }
    const list = new SgList(view, this.#from, (this.#at - this.#from) / sgEntry.size, size);
    this.#from = this.#at;
    this.#covered = 0;
    return list;
  }
}

function startAt(view: DataView, at: number): number {
  return view.getUint32(at + START + 4, true) * HIGH + view.getUint32(at + START, true);
}

function setStart(view: DataView, at: number, start: number): void {
  view.setUint32(at + START, start % HIGH, true);
  view.setUint32(at + START + 4, Math.floor(start / HIGH), true);
}

function lengthAt(view: DataView, at: number): number {
  return view.getUint32(at + LENGTH, true);
}
