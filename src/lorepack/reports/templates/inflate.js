// Unzips gzip (RFC 1951 and 1952) in a browser that cannot do so itself; the checksum is not read.
function inflated(zipped) {
  "use strict";
  const orderOfLengths = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const size = new DataView(zipped.buffer, zipped.byteOffset).getUint32(zipped.length - 4, true);
  const out = new Uint8Array(size);
  let place = 10, at = 0, held = 0, count = 0; // ours has no name or comment after ten bytes

  function bits(wanted) {
    while (count < wanted) {
      held |= zipped[place++] << count;
      count += 8;
    }
    const found = held & ((1 << wanted) - 1);
    held >>>= wanted;
    count -= wanted;
    return found;
  }

  function code(lengths) { // canonical: how many codes of each length, and their symbols in order
    const counts = new Uint16Array(16), starts = new Uint16Array(16);
    for (const length of lengths) counts[length]++;
    counts[0] = 0;
    for (let n = 1; n < 16; n++) starts[n] = starts[n - 1] + counts[n - 1];
    const symbols = new Uint16Array(lengths.length);
    lengths.forEach((length, symbol) => { if (length) symbols[starts[length]++] = symbol; });
    return { counts, symbols };
  }

  function symbol({ counts, symbols }) {
    let value = 0, first = 0, index = 0;
    for (let n = 1; n < 16; n++) {
      value |= bits(1);
      if (value - counts[n] < first) return symbols[index + value - first];
      index += counts[n];
      first = (first + counts[n]) << 1;
      value <<= 1;
    }
    throw new Error("not a gzip stream");
  }

  function tables() {
    const literals = bits(5) + 257, distances = bits(5) + 1, given = bits(4) + 4;
    const short = new Uint8Array(19);
    for (let n = 0; n < given; n++) short[orderOfLengths[n]] = bits(3);
    const lengths = new Uint8Array(literals + distances), how = code(short);
    for (let n = 0; n < lengths.length;) {
      const found = symbol(how);
      if (found < 16) { lengths[n++] = found; continue; }
      const value = found === 16 ? lengths[n - 1] : 0;
      let times = found === 16 ? 3 + bits(2) : found === 17 ? 3 + bits(3) : 11 + bits(7);
      while (times--) lengths[n++] = value;
    }
    return [code(lengths.subarray(0, literals)), code(lengths.subarray(literals))];
  }

  const base = (steps, extra, first) => { // where the values of each symbol begin
    const found = [];
    for (let n = 0, value = first; n < steps; value += 1 << extra(n++)) found.push(value);
    return found;
  };
  const extraLength = (n) => (n < 4 ? 0 : n === 28 ? 0 : (n >> 2) - 1);
  const extraDistance = (n) => (n < 2 ? 0 : (n >> 1) - 1);
  const baseLength = base(29, extraLength, 3), baseDistance = base(30, extraDistance, 1);
  baseLength[28] = 258;
  const fixed = new Uint8Array(288).map((_, n) => (n < 144 ? 8 : n < 256 ? 9 : n < 280 ? 7 : 8));

  for (let last = 0; !last;) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 0) {
      held = count = 0;
      const length = zipped[place] | (zipped[place + 1] << 8);
      out.set(zipped.subarray(place + 4, place + 4 + length), at);
      place += 4 + length;
      at += length;
      continue;
    }
    const [literal, distance] = kind === 1 ? [code(fixed), code(new Uint8Array(30).fill(5))] : tables();
    for (let found; (found = symbol(literal)) !== 256;) {
      if (found < 256) { out[at++] = found; continue; }
      let length = baseLength[found - 257] + bits(extraLength(found - 257));
      const far = symbol(distance), back = baseDistance[far] + bits(extraDistance(far));
      for (; length--; at++) out[at] = out[at - back];
    }
  }
  return out;
}
