/** Writes frames to a file: one picture, or every frame. Damaged frames are counted, and left out or kept. */
import { extname } from 'node:path';
import { check, decode, isJpeg, salvage } from './decoders.js';
import { encodeJpeg, encodePng } from './encoders.js';
import type { Frame } from './frame.js';
import type { ImageFormat } from './image-format.js';
import { completeJpeg, JPEG_FORMATS } from './jpeg.js';
import { OutputFile } from './output-file.js';
import { DamagedFrame, type Picture, type Salvage } from './picture.js';
import { loadSharp } from './sharp.js';

/** `skip`: damaged frames are left out of the file. `keep`: what they have is written. */
export type DamagedFrames = 'skip' | 'keep';
export const damagedChoices: readonly DamagedFrames[] = ['skip', 'keep'];

/** What was wrong with how many frames. */
export interface Damage {
  readonly reason: string;
  readonly frames: number;
}

/** The defect of the picture in the file. `missing`: the share that has not arrived, from 0 to 1; it is grey. */
export interface Loss {
  readonly reason: string;
  readonly missing: number;
}

type Planes = readonly Uint8Array[];
interface Encoded {
  readonly bytes: Uint8Array;
  readonly missing: number;
}

interface Kind {
  /** FOURCCs that the file can take without a new compression. */
  readonly prefer: readonly string[];
  /** true: every frame is written. false: only the last one that is whole. */
  readonly every: boolean;
  /** Throws DamagedFrame if the frame is not whole. Of a file of every frame, the frame is one that was checked. */
  encode(format: ImageFormat, planes: Planes): Promise<Uint8Array>;
  /** Throws DamagedFrame if the frame has nothing to write. */
  salvage(format: ImageFormat, planes: Planes): Promise<Encoded>;
}

const MARKED = 'the driver has marked the frame as damaged';
/** How many frames are kept for a picture, because only decoding shows whether they are whole. */
const CANDIDATES = 4;

/** A picture that is compressed here. */
const compressed = (compress: (picture: Picture) => Promise<Buffer>) => ({
  encode: async (format: ImageFormat, planes: Planes) => compress(await decode(format, planes)),
  salvage: async (format: ImageFormat, planes: Planes) => encoded(await salvage(format, planes), compress),
});

const png = compressed(encodePng);
const jpeg = compressed(encodeJpeg);
const single: Kind = {
  prefer: JPEG_FORMATS,
  every: false,
  encode: async (format, planes) => {
    if (!isJpeg(format.fourcc)) return jpeg.encode(format, planes);
    await decode(format, planes);
    return completeJpeg(planes[0]!);
  },
  salvage: jpegOfDamaged,
};
const sequence: Kind = {
  prefer: JPEG_FORMATS,
  every: true,
  encode: async (format, planes) =>
    isJpeg(format.fourcc) ? completeJpeg(planes[0]!) : jpeg.encode(format, planes),
  salvage: jpegOfDamaged,
};
const raw: Kind = {
  prefer: [],
  every: true,
  encode: async (_, planes) => Buffer.concat(planes),
  salvage: async (_, planes) => ({ bytes: Buffer.concat(planes), missing: 0 }),
};

/** The kind of a file, by the suffix of its name. */
const kinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['.png', { prefer: [], every: false, ...png }],
  ['.jpg', single],
  ['.jpeg', single],
  ['.raw', raw],
  ['.mjpg', sequence],
  ['.mjpeg', sequence],
]);

export const recordingSuffixes: readonly string[] = [...kinds.keys()];

/** The damaged JPEG frame of the camera as it is, or what another frame has, compressed here. */
async function jpegOfDamaged(format: ImageFormat, planes: Planes): Promise<Encoded> {
  if (!isJpeg(format.fourcc)) return jpeg.salvage(format, planes);
  const bytes = completeJpeg(planes[0]!);
  return { bytes, missing: (await salvage(format, planes)).missing };
}

async function encoded(
  { picture, missing }: Salvage,
  compress: (picture: Picture) => Promise<Buffer>,
): Promise<Encoded> {
  return { bytes: await compress(picture), missing };
}

/** A copy of a frame that may become the picture. `reason`: what is wrong with it; null: nothing that is known. */
interface Candidate {
  readonly planes: Planes;
  readonly reason: string | null;
}

export class Recording {
  /** FOURCCs that the file can take without a new compression. */
  readonly prefer: readonly string[];
  /** The defect of the picture. null: it is whole, or the file is no picture. */
  loss: Loss | null = null;
  readonly #kind: Kind;
  readonly #file: OutputFile;
  readonly #damage = new Map<string, number>();
  #candidates: Candidate[] = [];

  /** Throws RangeError if the suffix of the name is unknown, a system error if the file is not writable. */
  constructor(
    path: string,
    private readonly damaged: DamagedFrames = 'skip',
  ) {
    const kind = kinds.get(extname(path).toLowerCase());
    if (!kind) throw new RangeError(`the name must end in one of ${recordingSuffixes.join(', ')}`);
    this.#file = new OutputFile(path);
    this.prefer = kind.prefer;
    this.#kind = kind;
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#file.bytes;
  }

  /** The damaged frames so far. Damage within the data of a JPEG frame is found only if the frame is decoded. */
  get damage(): Damage[] {
    return [...this.#damage].map(([reason, frames]) => ({ reason, frames }));
  }

  /** Loads what decodes and encodes pictures, so that this does not take time while the camera streams. */
  async prepare(): Promise<void> {
    // If it does not load, the first frame that needs it says so.
    if (this.#kind !== raw) await loadSharp().catch(() => undefined);
  }

  /** Writes the frame or keeps a copy of it. Rejects with PictureError if frames of this format cannot be written. */
  async add(format: ImageFormat, frame: Frame): Promise<void> {
    const reason = frame.damaged ? MARKED : await defectOf(check(format, frame.planes));
    if (reason !== null) this.#count(reason);
    if (!this.#kind.every) return this.#propose({ planes: frame.planes, reason });
    if (reason === null) this.#file.write(await this.#kind.encode(format, frame.planes));
    else if (this.damaged === 'keep') await this.#salvage(format, frame.planes);
  }

  /** Writes the picture, if the file has one, and closes the file. Rejects with PictureError as add() does. */
  async finish(format: ImageFormat): Promise<void> {
    if (!(await this.#wholePicture(format))) await this.#damagedPicture(format);
    this.close();
  }

  /** Closes the file without the picture. A second call is harmless. */
  close(): void {
    this.#file.close();
  }

  #count(reason: string): void {
    this.#damage.set(reason, (this.#damage.get(reason) ?? 0) + 1);
  }

  /** A damaged frame is a candidate as long as no other is whole, or if it is to be kept. */
  #propose({ planes, reason }: Candidate): void {
    if (planes.every(({ length }) => length === 0)) return;
    const hasWhole = this.#candidates.some((candidate) => candidate.reason === null);
    if (this.damaged === 'keep' || (reason === null && !hasWhole)) this.#candidates = [];
    else if (reason !== null && hasWhole) return;
    this.#candidates.push({ planes: planes.map((plane) => Uint8Array.from(plane)), reason });
    if (this.#candidates.length > CANDIDATES) this.#candidates.shift();
  }

  /** Whether one of the candidates is whole, and so was written: the last of those. */
  async #wholePicture(format: ImageFormat): Promise<boolean> {
    for (const [index, { planes, reason }] of [...this.#candidates.entries()].reverse()) {
      if (reason !== null) continue;
      const encoding = this.#kind.encode(format, planes);
      const defect = await defectOf(encoding);
      if (defect === null) {
        this.#file.write(await encoding);
        return true;
      }
      this.#count(defect);
      this.#candidates[index] = { planes, reason: defect };
    }
    return false;
  }

  /** Writes the last candidate that has anything to show. */
  async #damagedPicture(format: ImageFormat): Promise<void> {
    for (const { planes, reason } of this.#candidates.reverse()) {
      const missing = await this.#salvage(format, planes);
      if (missing === null) continue;
      this.loss = { reason: reason!, missing };
      return;
    }
  }

  /** Writes what the frame has. Resolves to the share that is missing; null: it has nothing. */
  async #salvage(format: ImageFormat, planes: Planes): Promise<number | null> {
    const salvaging = this.#kind.salvage(format, planes);
    if ((await defectOf(salvaging)) !== null) return null;
    const { bytes, missing } = await salvaging;
    this.#file.write(bytes);
    return missing;
  }
}

/** The message of DamagedFrame; null: the work has succeeded. Rejects with every other error. */
async function defectOf(work: Promise<unknown>): Promise<string | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof DamagedFrame) return error.message;
    throw error;
  }
}
