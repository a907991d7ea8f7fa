/** Uncompressed Y'CbCr formats: the position of each component of a pixel, and the decoder. */
import { colourTables, isFullRange, lumaTable, Quantization } from './colour.js';
import type { ImageFormat } from './image-format.js';
import type { Picture } from './picture.js';

/** Position of one component: byte `offset + (y >> vertical) * stride + (x >> horizontal) * step` of a memory plane. */
interface Component {
  readonly plane: number;
  readonly offset: number;
  readonly stride: number;
  readonly step: number;
  readonly horizontal: number;
  readonly vertical: number;
}

interface Components {
  readonly luma: Component;
  readonly cb?: Component;
  readonly cr?: Component;
}

type Layout = (format: ImageFormat) => Components;

/** Two pixels in four bytes. Arguments: offsets of the first luma, Cb and Cr. The second luma is two bytes later. */
function packed422(luma: number, cb: number, cr: number): Layout {
  return ({ planes }) => {
    const stride = planes[0]!.bytesperline;
    const component = (offset: number, step: number, horizontal: number) => ({
      plane: 0,
      offset,
      stride,
      step,
      horizontal,
      vertical: 0,
    });
    return { luma: component(luma, 2, 0), cb: component(cb, 4, 1), cr: component(cr, 4, 1) };
  };
}

/** A plane of luma and a plane of interleaved chroma, in one memory plane or in two. */
function semiplanar(horizontal: number, vertical: number, crFirst: boolean, memoryPlanes: 1 | 2): Layout {
  return ({ planes, height }) => {
    const lumaStride = planes[0]!.bytesperline;
    const plane = memoryPlanes - 1;
    const start = plane === 0 ? lumaStride * height : 0;
    // In 4:4:4 each pixel has two bytes of chroma, so a line of chroma is as long as two lines of luma.
    const stride = plane === 0 ? (lumaStride * 2) >> horizontal : planes[1]!.bytesperline;
    const chroma = (second: boolean) => ({
      plane,
      offset: start + (second ? 1 : 0),
      stride,
      step: 2,
      horizontal,
      vertical,
    });
    return { luma: lumaOf(lumaStride), cb: chroma(crFirst), cr: chroma(!crFirst) };
  };
}

/** Three planes, in one memory plane or in three. */
function planar(horizontal: number, vertical: number, crFirst: boolean, memoryPlanes: 1 | 3): Layout {
  return ({ planes, height }) => {
    const lumaStride = planes[0]!.bytesperline;
    const lines = Math.ceil(height / (1 << vertical));
    const chroma = (second: boolean): Component => {
      const index = second ? 2 : 1;
      const stride = memoryPlanes === 1 ? lumaStride >> horizontal : planes[index]!.bytesperline;
      const offset = lumaStride * height + (second ? stride * lines : 0);
      const place = memoryPlanes === 1 ? { plane: 0, offset } : { plane: index, offset: 0 };
      return { ...place, stride, step: 1, horizontal, vertical };
    };
    return { luma: lumaOf(lumaStride), cb: chroma(crFirst), cr: chroma(!crFirst) };
  };
}

function lumaOf(stride: number): Component {
  return { plane: 0, offset: 0, stride, step: 1, horizontal: 0, vertical: 0 };
}

/** By FOURCC. */
export const yuvFormats: ReadonlyMap<string, Layout> = new Map<string, Layout>([
  ['YUYV', packed422(0, 1, 3)],
  ['YVYU', packed422(0, 3, 1)],
  ['UYVY', packed422(1, 0, 2)],
  ['VYUY', packed422(1, 2, 0)],
  ['NV12', semiplanar(1, 1, false, 1)],
  ['NV21', semiplanar(1, 1, true, 1)],
  ['NV16', semiplanar(1, 0, false, 1)],
  ['NV61', semiplanar(1, 0, true, 1)],
  ['NV24', semiplanar(0, 0, false, 1)],
  ['NV42', semiplanar(0, 0, true, 1)],
  ['NM12', semiplanar(1, 1, false, 2)],
  ['NM21', semiplanar(1, 1, true, 2)],
  ['NM16', semiplanar(1, 0, false, 2)],
  ['NM61', semiplanar(1, 0, true, 2)],
  ['YU12', planar(1, 1, false, 1)],
  ['YV12', planar(1, 1, true, 1)],
  ['422P', planar(1, 0, false, 1)],
  ['YM12', planar(1, 1, false, 3)],
  ['YM21', planar(1, 1, true, 3)],
  ['GREY', ({ planes }) => ({ luma: lumaOf(planes[0]!.bytesperline) })],
]);

/** How many bytes each memory plane must have. `format` must be one of yuvFormats. */
export function yuvBytes(format: ImageFormat): number[] {
  const { width, height } = format;
  const needed: number[] = [];
  for (const component of Object.values(yuvFormats.get(format.fourcc)!(format)) as Component[]) {
    const { plane, step, horizontal } = component;
    const bytes = rowOf(component, height - 1) + ((width - 1) >> horizontal) * step + 1;
    needed[plane] = Math.max(needed[plane] ?? 0, bytes);
  }
  return needed;
}

/** `format` must be one of yuvFormats; `planes` must have yuvBytes. */
export function decodeYuv(format: ImageFormat, planes: readonly Uint8Array[]): Picture {
  const { luma, cb, cr } = yuvFormats.get(format.fourcc)!(format);
  return cb && cr ? decodeColour(format, planes, luma, cb, cr) : decodeGrey(format, planes, luma);
}

function decodeColour(
  format: ImageFormat,
  planes: readonly Uint8Array[],
  luma: Component,
  cb: Component,
  cr: Component,
): Picture {
  const { width, height } = format;
  const tables = colourTables(format);
  const [lumaBytes, cbBytes, crBytes] = [planes[luma.plane]!, planes[cb.plane]!, planes[cr.plane]!];
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0, out = 0; y < height; y++) {
    const [lumaRow, cbRow, crRow] = [rowOf(luma, y), rowOf(cb, y), rowOf(cr, y)];
    for (let x = 0; x < width; x++, out += 3) {
      const light = tables.luma[lumaBytes[lumaRow + x * luma.step]!]!;
      const blue = cbBytes[cbRow + (x >> cb.horizontal) * cb.step]!;
      const red = crBytes[crRow + (x >> cr.horizontal) * cr.step]!;
      data[out] = light + tables.redOfCr[red]!;
      data[out + 1] = light + tables.greenOfCb[blue]! + tables.greenOfCr[red]!;
      data[out + 2] = light + tables.blueOfCb[blue]!;
    }
  }
  return { width, height, data };
}

/** A format with luma only is full range by default, because sensors deliver full range. */
function decodeGrey(format: ImageFormat, planes: readonly Uint8Array[], luma: Component): Picture {
  const { width, height } = format;
  const table = lumaTable(isFullRange(format, Quantization.FULL_RANGE));
  const bytes = planes[luma.plane]!;
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0, out = 0; y < height; y++)
    for (let x = 0; x < width; x++, out += 3)
      data.fill(table[bytes[rowOf(luma, y) + x * luma.step]!]!, out, out + 3);
  return { width, height, data };
}

function rowOf({ offset, stride, vertical }: Component, y: number): number {
  return offset + (y >> vertical) * stride;
}
