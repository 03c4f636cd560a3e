"""Figures kept in a file as they are made, so that a run that is cut loses none and rows can be made again one by one.

The file is JSON: `{"machine": "...", "versions": {...}, "rows": {"2": {name: row}, "1": {...}}, "measures": {name: row}}`,
rows by the number of threads, each row with its `date`. Figures of another machine, or of other versions, do not stay.
"""

import json
import os
import time

from machine import machine, versions


class Store:
    def __init__(self, path, keep=True):
        self.path, self.keep = path, keep
        here = {"machine": machine(), "versions": versions()}
        self.data = {**here, "rows": {}, "measures": {}}
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return
        if {key: found[key] for key in here} == here:
            self.data = found
        else:
            print(f"{path} is of another machine or other versions; it is begun anew")

    def add(self, name, row, threads=None):
        """Takes a row of the table, or without `threads` one of the measures of their own, and writes the file."""
        place = self.data["measures"] if threads is None else self.data["rows"].setdefault(str(threads), {})
        place[name] = {**row, "date": time.strftime("%Y-%m-%d")}
        if not self.keep:
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        part = f"{self.path}.part"
        with open(part, "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1)
        os.replace(part, self.path)
