#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Some files of bench/configs/ have only a few of their model's layers, for small machines. This prints one with as many
# layers as are wanted, its pattern of layers (and their quantization) repeated:
#   bench/full_config.py bench/configs/gemma-4-31b.json 60 >gemma-4-31b-full.json
import json
import re
import sys


def repeat_layers(config, few, many):
    text = config.get("text_config", config)
    text["num_hidden_layers"] = many
    if "layer_types" in text:
        kinds = text["layer_types"]
        text["layer_types"] = [kinds[i % few] for i in range(many)]
    for key in ("quantization", "quantization_config"):
        named = {k: v for k, v in config.get(key, {}).items() if re.search(r"layers\.\d+\.", k)}
        for name, value in named.items():
            first = int(re.search(r"layers\.(\d+)\.", name).group(1))
            for i in range(first, many, few):
                config[key][re.sub(r"layers\.\d+\.", f"layers.{i}.", name)] = value


def main():
    if len(sys.argv) != 3 or not sys.argv[2].isdigit() or int(sys.argv[2]) < 1:
        sys.exit("usage: full_config.py CONFIG N_LAYERS")
    with open(sys.argv[1], encoding="utf-8") as f:
        config = json.load(f)
    few = config.get("text_config", config)["num_hidden_layers"]
    repeat_layers(config, few, int(sys.argv[2]))
    config.pop("_note", None)
    json.dump(config, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
