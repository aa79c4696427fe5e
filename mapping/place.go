package mapping

import (
	"strings"
	"unicode"

	"github.com/trueup-sync/trueup/internal/diag"
)

// insideScalar is the place of the letter number at of a YAML scalar that stands at pos and means text. Quotes, escapes
// and line breaks make the two drift apart, so the letters are followed through the file.
func insideScalar(source []byte, pos diag.Pos, text string, at int) diag.Pos {
	lines := strings.Split(strings.ReplaceAll(string(source), "\r\n", "\n"), "\n")
	if pos.Line < 1 || pos.Line > len(lines) {
		return pos
	}
	line, column := pos.Line-1, pos.Column-1 // from 0
	row := []rune(lines[line])
	var quote rune
	if column < len(row) {
		switch row[column] {
		case '\'', '"':
			quote = row[column]
			column++
		case '|', '>':
			line, column = line+1, 0
		}
	}
	// settle moves over line breaks and indentation to the next letter that is not white space.
	settle := func() {
		for line < len(lines) {
			row = []rune(lines[line])
			for column < len(row) && unicode.IsSpace(row[column]) {
				column++
			}
			if column < len(row) {
				return
			}
			line, column = line+1, 0
		}
	}
	for i, letter := range []rune(text) {
		if !unicode.IsSpace(letter) {
			settle()
		}
		if line >= len(lines) {
			return pos
		}
		if i == at {
			break
		}
		switch {
		case unicode.IsSpace(letter):
			if row = []rune(lines[line]); column < len(row) && unicode.IsSpace(row[column]) {
				column++
			}
		case quote == '\'' && letter == '\'', quote == '"' && row[column] == '\\':
			column += 2
		default:
			column++
		}
	}
	return diag.Pos{File: pos.File, Line: line + 1, Column: column + 1}
}
