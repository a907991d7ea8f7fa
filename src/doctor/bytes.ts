/** Sizes in words. */

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** In the largest unit of which there is one, with one digit behind the point: `1.5 GiB`. */
export function bytesText(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}
