// Package strictyaml reads YAML the way people mean it: scalars are the text that was typed (007, 12.10 and no stay as
// they are), a repeated key is a complaint that says where the first one is, an unknown key is a complaint with a
// suggestion, and every complaint carries file:line:column. Nothing is returned as an error at once; complaints gather
// in a diag.List, so that one reading reports them all.
//
// A reader asks for the keys it knows and then closes the map; what nobody asked for is unknown:
//
//	root := strictyaml.Parse("trueup.yaml", source, problems)
//	m := root.Map()
//	state := m.Get("state").Text()
//	m.Close()
//
// All methods work on a nil *Node (a key that is absent) and return zero values.
package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/trueup-sync/trueup/internal/diag"
)

// Node is a place in a YAML document.
type Node struct {
	y        *yaml.Node
	file     string
	problems *diag.List
}

// Parse reads one document. A syntax error becomes a complaint and a nil Node; so does an empty file. Anchors, aliases,
// merge keys and custom tags are refused: a file that spends money must say what it says in one place.
func Parse(file string, source []byte, problems *diag.List) *Node {
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var doc yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			problems.Add(diag.Pos{File: file}, "see the examples in configs", "the file is empty")
		} else {
			message, hint := syntaxMessage(err)
			problems.Add(syntaxPos(file, source), hint, "%s", message)
		}
		return nil
	}
	var second yaml.Node
	if decoder.Decode(&second) == nil {
		problems.Add(diag.Pos{File: file, Line: second.Line, Column: 1}, "put it into a file of its own", "a second YAML document in one file is not read")
	}
	// A line of dashes alone makes a document that holds nothing, which the parser sees after the end of the file.
	if len(doc.Content) == 0 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null" && doc.Content[0].Value == "" {
		problems.Add(diag.Pos{File: file}, "see the examples in configs", "the file is empty")
		return nil
	}
	root := &Node{doc.Content[0], file, problems}
	if root.refuseMagic() {
		return nil
	}
	return root
}

const aliasHint = "write the value out in each place; a text that starts with * or & needs quotes"

func (n *Node) refuseMagic() (refused bool) {
	tag := n.y.Tag
	switch {
	case n.y.Kind == yaml.AliasNode || n.y.Anchor != "":
		n.Complain(aliasHint, "anchors and aliases are not allowed")
		return true
	case strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!"):
		// The tag is not quoted: it may be a secret that starts with an exclamation mark.
		n.Complain("a text that starts with ! needs quotes", "tags are not allowed")
		return true
	}
	for _, child := range n.y.Content {
		refused = n.child(child).refuseMagic() || refused
	}
	return refused
}

func (n *Node) child(y *yaml.Node) *Node { return &Node{y, n.file, n.problems} }

var lineInError = regexp.MustCompile(`line (\d+):? ?`)

// longestSearch bounds the search for the place of a syntax error, in lines; people write no longer files.
const longestSearch = 5000

// syntaxPos finds the line that is to blame. The parser's own answer is often the start of the block around it, so the longest
// beginning of the file that is valid is looked for; the line after it cannot be understood.
func syntaxPos(file string, source []byte) diag.Pos {
	lines := bytes.SplitAfter(source, []byte("\n"))
	if len(lines) > longestSearch {
		return diag.Pos{File: file}
	}
	valid := len(lines) - 1
	for end := len(source) - len(lines[valid]); valid > 0; valid-- {
		var doc yaml.Node
		if err := yaml.NewDecoder(bytes.NewReader(source[:end])).Decode(&doc); err == nil || errors.Is(err, io.EOF) {
			break
		}
		end -= len(lines[valid-1])
	}
	for valid < len(lines)-1 && len(bytes.TrimSpace(lines[valid])) == 0 {
		valid++
	}
	indent := len(lines[valid]) - len(bytes.TrimLeft(lines[valid], " "))
	return diag.Pos{File: file, Line: valid + 1, Column: indent + 1}
}

func syntaxMessage(err error) (message, hint string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.HasPrefix(text, "unknown anchor") { // it names the anchor, which may be a secret that starts with an asterisk
		return "anchors and aliases are not allowed", aliasHint
	}
	return "not valid YAML: " + lineInError.ReplaceAllString(text, ""), ""
}

// Pos is where the node stands.
func (n *Node) Pos() diag.Pos {
	if n == nil {
		return diag.Pos{}
	}
	return diag.Pos{File: n.file, Line: n.y.Line, Column: n.y.Column}
}

// Complain records a complaint at the node.
func (n *Node) Complain(hint, format string, args ...any) {
	if n != nil {
		n.problems.Add(n.Pos(), hint, format, args...)
	}
}

// ComplainAt records a complaint at a letter inside the node's text, counted from 0. Texts of several lines are blamed as a whole.
func (n *Node) ComplainAt(letter int, hint, format string, args ...any) {
	if n == nil {
		return
	}
	pos := n.Pos()
	switch n.y.Style &^ yaml.TaggedStyle {
	case 0:
		pos.Column += letter
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		pos.Column += letter + 1
	}
	n.problems.Add(pos, hint, format, args...)
}

// Present reports whether the key was written at all.
func (n *Node) Present() bool { return n != nil }

// IsMap, IsList and IsScalar tell the shape.
func (n *Node) IsMap() bool    { return n != nil && n.y.Kind == yaml.MappingNode }
func (n *Node) IsList() bool   { return n != nil && n.y.Kind == yaml.SequenceNode }
func (n *Node) IsScalar() bool { return n != nil && n.y.Kind == yaml.ScalarNode }

// Text is the scalar exactly as typed. Another shape is a complaint.
func (n *Node) Text() string {
	if n == nil {
		return ""
	}
	if n.y.Kind != yaml.ScalarNode {
		n.Complain("", "expected a text, found %s", n.shape())
		return ""
	}
	if n.y.Tag == "!!null" && n.y.Style == 0 {
		return ""
	}
	return n.y.Value
}

// Bool reads true or false and nothing else.
func (n *Node) Bool() bool {
	if n == nil {
		return false
	}
	switch n.Text() {
	case "true":
		return true
	case "false":
		return false
	}
	if n.IsScalar() {
		n.Complain("write true or false", "%q is not true or false", n.y.Value)
	}
	return false
}

// Int reads a whole number.
func (n *Node) Int() int {
	if n == nil {
		return 0
	}
	i, err := strconv.Atoi(n.Text())
	if err != nil && n.IsScalar() {
		n.Complain("", "%q is not a whole number", n.y.Value)
	}
	return i
}

// List returns the items; a single scalar is not a list.
func (n *Node) List() []*Node {
	if n == nil {
		return nil
	}
	if n.y.Kind != yaml.SequenceNode {
		n.Complain("write it as [one, two]", "expected a list, found %s", n.shape())
		return nil
	}
	items := make([]*Node, len(n.y.Content))
	for i, c := range n.y.Content {
		items[i] = n.child(c)
	}
	return items
}

// Texts is a list of texts.
func (n *Node) Texts() []string {
	var texts []string
	for _, item := range n.List() {
		texts = append(texts, item.Text())
	}
	return texts
}

// OneOf is a text that must be one of the allowed words; absent gives "".
func (n *Node) OneOf(allowed ...string) string {
	if n == nil {
		return ""
	}
	s := n.Text()
	for _, a := range allowed {
		if s == a {
			return s
		}
	}
	if n.IsScalar() {
		n.Complain(diag.DidYouMean(s, allowed), "%q is not allowed here", s)
	}
	return ""
}

func (n *Node) shape() string {
	switch n.y.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	return "the text " + strconv.Quote(n.y.Value)
}

// Map is an open mapping. Its zero value (from a nil Node) is an empty map that complains about nothing.
type Map struct {
	node  *Node
	keys  []*Node
	byKey map[string]*Node
	known map[string]bool
}

// Map opens a mapping; another shape is a complaint. Repeated keys are complained about here, at the second one.
func (n *Node) Map() *Map {
	m := &Map{node: n, byKey: map[string]*Node{}, known: map[string]bool{}}
	if n == nil {
		return m
	}
	if n.y.Kind != yaml.MappingNode {
		n.Complain("", "expected a map of keys and values, found %s", n.shape())
		return m
	}
	first := map[string]*Node{}
	for i := 0; i+1 < len(n.y.Content); i += 2 {
		key, value := n.child(n.y.Content[i]), n.child(n.y.Content[i+1])
		name := key.Text()
		if earlier, repeated := first[name]; repeated {
			key.Complain("remove one of them", "key %q is written twice; the first is in line %d", name, earlier.y.Line)
			continue
		}
		first[name] = key
		m.keys = append(m.keys, key)
		m.byKey[name] = value
	}
	return m
}

// Get returns the value of a key, nil when absent, and remembers that the key is known.
func (m *Map) Get(key string) *Node {
	m.known[key] = true
	return m.byKey[key]
}

// Need is Get for a key that must be there. A node that is no map was complained about already.
func (m *Map) Need(key string) *Node {
	n := m.Get(key)
	if n == nil && m.node.IsMap() {
		m.node.Complain("add it", "%q is missing", key)
	}
	return n
}

// Close complains about every key that no Get asked for.
func (m *Map) Close() {
	var known []string
	for k := range m.known {
		known = append(known, k)
	}
	for _, key := range m.keys {
		name := key.y.Value
		if m.known[name] {
			continue
		}
		if before, _, colon := strings.Cut(name, ":"); colon { // the rest is a value, which may be secret
			key.Complain("write a space after the colon", "unknown key %q", before+":...")
			continue
		}
		key.Complain(diag.DidYouMean(name, known), "unknown key %q", name)
	}
}

// Each walks a map whose keys the user chooses, in file order. It counts as knowing them all.
func (m *Map) Each(visit func(key, value *Node)) {
	for _, key := range m.keys {
		m.known[key.y.Value] = true
		visit(key, m.byKey[key.y.Value])
	}
}
