package contract

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Shape is the member names of a JSON object and of the objects inside it. A nil Shape knows nothing and accepts
// everything; an array has the shape of its elements.
type Shape map[string]Shape

// Unknown lists the members of value, as dotted paths, that the shape does not know; sorted, each once.
func (s Shape) Unknown(value any) []string {
	unknown := s.unknown("", value)
	slices.Sort(unknown)
	return slices.Compact(unknown)
}

func (s Shape) unknown(prefix string, value any) (unknown []string) {
	if s == nil {
		return nil
	}
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			unknown = append(unknown, s.unknown(prefix, element)...)
		}
	case map[string]any:
		for name, inner := range value {
			shape, known := s[name]
			if !known {
				unknown = append(unknown, prefix+name)
				continue
			}
			unknown = append(unknown, shape.unknown(prefix+name+".", inner)...)
		}
	}
	return unknown
}

// SwaggerShape reads the shape of one definition of a Swagger 2 document. A definition that refers to itself is not
// followed further.
func SwaggerShape(document []byte, definition string) (Shape, error) {
	var swagger struct {
		Definitions map[string]swaggerSchema `json:"definitions"`
	}
	if err := json.Unmarshal(document, &swagger); err != nil {
		return nil, fmt.Errorf("read the Swagger document: %w", err)
	}
	schema, ok := swagger.Definitions[definition]
	if !ok {
		return nil, fmt.Errorf("the Swagger document has no definition %q", definition)
	}
	return schema.shape(swagger.Definitions, []string{definition}), nil
}

type swaggerSchema struct {
	Ref        string                   `json:"$ref"`
	Properties map[string]swaggerSchema `json:"properties"`
	Items      *swaggerSchema           `json:"items"`
}

func (s swaggerSchema) shape(definitions map[string]swaggerSchema, inside []string) Shape {
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		if slices.Contains(inside, name) {
			return nil
		}
		return definitions[name].shape(definitions, append(slices.Clone(inside), name))
	}
	if s.Items != nil {
		return s.Items.shape(definitions, inside)
	}
	if s.Properties == nil {
		return nil
	}
	shape := Shape{}
	for name, property := range s.Properties {
		shape[name] = property.shape(definitions, inside)
	}
	return shape
}

var nested = regexp.MustCompile(`^\[?\{`)

// TableShape reads the shape of an object from a Markdown page: the table below the heading that begins with heading,
// with member names in the first column, separated by commas, and their type in the second. A type written as
// {a, b?, c:{d}} or [{a: one|two}] names the members inside; so does a plain list of names that is as good as an object,
// for the members listed in objects. The JSON example below the table adds what the table leaves out at the top.
func TableShape(page, heading string, objects ...string) (Shape, error) {
	_, section, found := strings.Cut("\n"+page, "\n"+heading)
	if !found {
		return nil, fmt.Errorf("the page has no heading %q", heading)
	}
	if end := strings.Index(section, "\n#"); end >= 0 {
		section = section[:end]
	}
	shape := Shape{}
	for line := range strings.Lines(section) {
		cells := cells(line)
		if len(cells) < 2 || strings.HasPrefix(cells[0], "-") || cells[0] == "Field" {
			continue
		}
		for name := range strings.SplitSeq(cells[0], ",") {
			name = strings.TrimSpace(name)
			switch {
			case nested.MatchString(cells[1]):
				inner, _, err := members(cells[1][strings.Index(cells[1], "{")+1:])
				if err != nil {
					return nil, fmt.Errorf("read the type of %s: %w", name, err)
				}
				shape[name] = inner
			case slices.Contains(objects, name):
				inner, _, err := members(cells[1] + "}")
				if err != nil {
					return nil, fmt.Errorf("read the members of %s: %w", name, err)
				}
				shape[name] = inner
			default:
				shape[name] = nil
			}
		}
	}
	if len(shape) == 0 {
		return nil, fmt.Errorf("below %q there is no table of members", heading)
	}
	if _, example, ok := strings.Cut(section, "```json\n"); ok {
		example, _, _ = strings.Cut(example, "```")
		var object map[string]any
		if err := json.Unmarshal([]byte(example), &object); err != nil {
			return nil, fmt.Errorf("read the example below %q: %w", heading, err)
		}
		for name := range object {
			if _, known := shape[name]; !known {
				shape[name] = nil
			}
		}
	}
	return shape, nil
}

// cells splits a table row; \| is a bar inside a cell.
func cells(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	line = strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00")
	parts := strings.Split(line, "|")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(strings.ReplaceAll(p, "\x00", "|"))
	}
	return parts
}

// members reads "a, b?, c:{d,e}, f: one|two}" up to its closing brace and returns what follows it.
func members(s string) (Shape, string, error) {
	shape := Shape{}
	for {
		end := strings.IndexAny(s, ",:}")
		if end < 0 {
			return nil, "", fmt.Errorf("no closing brace in %q", s)
		}
		name, mark := strings.TrimRight(strings.TrimSpace(s[:end]), "?"), s[end]
		s = s[end+1:]
		if name != "" {
			shape[name] = nil
		}
		if mark == ':' {
			if inner := strings.TrimLeft(s, " ["); strings.HasPrefix(inner, "{") {
				below, rest, err := members(inner[1:])
				if err != nil {
					return nil, "", err
				}
				shape[name], s = below, rest
			}
			end := strings.IndexAny(s, ",}")
			if end < 0 {
				return nil, "", fmt.Errorf("no closing brace in %q", s)
			}
			mark, s = s[end], s[end+1:]
		}
		if mark == '}' {
			return shape, s, nil
		}
	}
}
