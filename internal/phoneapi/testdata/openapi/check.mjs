// Reads an OpenAPI document from a file and says whether it is one:
// node check.mjs FILE prints {"valid", "version", "errors"}.
import { readFile } from "node:fs/promises";
import { Validator } from "@seriousme/openapi-schema-validator";

const validator = new Validator();
const { valid, errors } = await validator.validate(JSON.parse(await readFile(process.argv[2], "utf8")));
console.log(JSON.stringify({ valid, version: validator.version, errors }));
