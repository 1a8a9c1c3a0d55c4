// Numbers for people, in the same words as the commands print.

const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];
const whole = new Intl.NumberFormat("en");

/**
 * Returns a number of bytes in decimal units.
 *
 * @param {number | null | undefined} bytes
 */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "unknown size";
  if (bytes < 1000) return `${Math.round(bytes)} byte${Math.round(bytes) === 1 ? "" : "s"}`;
  let number = bytes;
  let unit = 0;
  while (number >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  const digits = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
  return `${number.toFixed(digits)} ${UNITS[unit]}`;
}

/** @param {number | null | undefined} number */
export function count(number) {
  return whole.format(number ?? 0);
}

/**
 * Returns a number of files in words.
 *
 * @param {number | null | undefined} number
 * @param {string} [noun]
 */
export function files(number, noun = "file") {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Returns a message of the program as a sentence. What begins with a path or a name stays as it is.
 *
 * @param {string} message
 */
export function sentence(message) {
  return /^(?!neurofetch\b)[a-z]+ /.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
}

/**
 * Returns a name as it can be shown: what is no visible character, or turns the direction of writing, is written out.
 *
 * @param {string} name
 */
export function shown(name) {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

/**
 * Returns a time span.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "a while";
  if (seconds < 0.05) return "less than 0.1 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return `${minutes} min ${all % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * Returns a value of a map or a table.
 *
 * @param {number | null | undefined} value
 */
export function value(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "no value";
  const large = Math.abs(value);
  if (value === 0) return "0";
  if (large >= 1e6 || large < 1e-3) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/**
 * Returns the time of day of a point in time.
 *
 * @param {string | null} iso
 */
export function clock(iso) {
  if (!iso) return "";
  return new Date(iso).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}
