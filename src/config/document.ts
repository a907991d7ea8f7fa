/** A YAML document: maps, lists and texts, each with its place. Only this file and listing.ts know the library yaml. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  visit,
} from 'yaml';
import { printable } from '../printable.js';
import type { Fault, Place } from './configuration.js';

/** How often values may be looked at. Aliases of aliases would otherwise make a short file endless. */
const MAX_VISITS = 100_000;

/** A part of a document. `null`: nothing is there. */
type Part = ParsedNode | null;

/** A key of a map with its value. */
export interface Entry {
  readonly name: string;
  readonly place: Place;
  readonly value: Item;
}

/** A value of the document. It is read as what it should be. */
export class Item {
  constructor(
    private readonly source: SourceDocument,
    private readonly part: Part,
    readonly place: Place,
  ) {}

  /** `what`: for the fault if it is no map. */
  entries(what: string): readonly Entry[] {
    const part = this.source.resolve(this);
    if (!isMap(part)) return this.#wrong(`${what} must be a map of keys with their values`, part);
    return part.items.flatMap(({ key, value }) => {
      const at = this.source.placeOf(key as Part, this.place);
      if (isScalar(key))
        return { name: `${key.source ?? key.value}`, place: at, value: this.source.item(value as Part, at) };
      this.source.fault(at, 'a key must be a word');
      return [];
    });
  }

  /** The items of a list; `what`: for the fault if it is none. */
  items(what: string): readonly Item[] {
    const part = this.source.resolve(this);
    if (!isSeq(part)) return this.#wrong(`${what} must be a list`, part);
    return part.items.map((each) => this.source.item(each as Part, this.place));
  }

  get isList(): boolean {
    return isSeq(this.source.resolve(this));
  }

  /** The text as it is written, without quotes. Undefined: there is a fault, which has been told. */
  text(what: string): string | undefined {
    const part = this.source.resolve(this);
    if (!isScalar(part)) return this.#wrong(`${what} must be a single value`, part)[0];
    const text = `${part.source ?? part.value}`;
    const isPlain = part.type === 'PLAIN';
    if (isPlain && /^(null|~)?$/i.test(text)) this.source.fault(this.place, `${what} has no value`);
    else if (printable(text) !== text)
      this.source.fault(this.place, `${what} has characters that cannot be shown`);
    else return text;
    return undefined;
  }

  #wrong(sentence: string, part: Part | undefined): never[] {
    if (part !== undefined) this.source.fault(this.place, sentence);
    return [];
  }

  /** The part, or the alias of another one. */
  get raw(): Part {
    return this.part;
  }
}

export class SourceDocument {
  readonly faults: Fault[] = [];
  readonly root: Item;
  readonly #lines = new LineCounter();
  readonly #anchors = new Map<string, ParsedNode[]>();
  #visits = 0;

  constructor(text: string) {
    const document = this.#parse(text);
    const start = { line: 1, column: 1 };
    this.root = this.item((document?.contents ?? null) as Part, start);
    for (const { pos, message } of [...(document?.errors ?? []), ...(document?.warnings ?? [])])
      this.fault(
        this.#placeAt(pos[0]),
        message.charAt(0).toLowerCase() + message.slice(1).replace(/\.$/, ''),
      );
  }

  fault({ line, column }: Place, sentence: string): void {
    this.faults.push({ line, column, sentence: printable(sentence) });
  }

  item(part: Part, near: Place): Item {
    return new Item(this, part, this.placeOf(part, near));
  }

  placeOf(part: Part, near: Place): Place {
    return part?.range ? this.#placeAt(part.range[0]) : near;
  }

  /** What an item is. Undefined: that cannot be told, and there is a fault. */
  resolve(item: Item): Part | undefined {
    const { raw: part, place } = item;
    this.#visits++;
    if (this.#visits > MAX_VISITS) {
      if (this.#visits === MAX_VISITS + 1) this.fault(place, 'the configuration is too large');
      return undefined;
    }
    if (!isAlias(part)) return part;
    const found = this.#anchors
      .get(part.source)
      ?.findLast(({ range }) => range[0] < (part as ParsedNode).range[0]);
    if (!found) this.fault(place, `there is no anchor &${part.source} before this alias`);
    return found;
  }

  /** Every scalar stays the text that was written: what it means, its key knows. */
  #parse(text: string): Document.Parsed | undefined {
    try {
      const options = { lineCounter: this.#lines, schema: 'failsafe', prettyErrors: false } as const;
      const document = parseDocument(text, options);
      visit(document, {
        Node: (_, node) => {
          const anchor = (node as { anchor?: string }).anchor;
          if (anchor && !isAlias(node))
            this.#anchors.set(anchor, [...(this.#anchors.get(anchor) ?? []), node as ParsedNode]);
        },
      });
      return document;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.fault({ line: 1, column: 1 }, 'the configuration is nested too deeply');
      return undefined;
    }
  }

  #placeAt(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}
