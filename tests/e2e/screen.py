"""A small terminal emulator: what a program has drawn, as lines of text. Knows what busybox's applets send."""

import re

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b([()][A-Z0-9]|[=>78MDc])")


class Screen:
    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.pending = ""

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def feed(self, text):
        text = self.pending + text
        self.pending = ""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
                continue
            match = SEQUENCE.match(text, at)
            if match:
                self._sequence(match.group(1), match.group(2))
                at = match.end()
            elif len(text) - at < 12:
                self.pending = text[at:]
                return
            else:
                at += 1

    def _put(self, letter):
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self._down()
        elif letter == "\b":
            self.column = max(0, self.column - 1)
        elif letter == "\t":
            self.column = min(self.columns - 1, (self.column // 8 + 1) * 8)
        elif letter >= " ":
            if self.column == self.columns:
                self.column = 0
                self._down()
            self.cells[self.row][self.column] = letter
            self.column += 1

    def _down(self):
        if self.row + 1 < self.rows:
            self.row += 1
        else:
            self.cells = self.cells[1:] + [[" "] * self.columns]

    def _sequence(self, parameters, final):
        numbers = [int(number) if number.isdigit() else 0 for number in (parameters or "").split(";")]
        first = max(1, numbers[0])
        if final in ("H", "f"):
            self.row = min(self.rows, first) - 1
            self.column = min(self.columns, max(1, numbers[1]) if len(numbers) > 1 else 1) - 1
        elif final == "A":
            self.row = max(0, self.row - first)
        elif final == "B":
            self.row = min(self.rows - 1, self.row + first)
        elif final == "C":
            self.column = min(self.columns - 1, self.column + first)
        elif final == "D":
            self.column = max(0, self.column - first)
        elif final == "K":
            start, end = {0: (self.column, self.columns), 1: (0, self.column + 1), 2: (0, self.columns)}[numbers[0]]
            for column in range(start, min(end, self.columns)):
                self.cells[self.row][column] = " "
        elif final == "J":
            first_row = self.row + 1 if numbers[0] == 0 else 0
            if numbers[0] == 0:
                self._sequence("0", "K")
            for row in range(first_row, self.rows):
                self.cells[row] = [" "] * self.columns
