export { LayerwiseError } from "./errors.ts";
