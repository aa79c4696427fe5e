package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// OpenAPI judges exchanges by an OpenAPI 3 document.
type OpenAPI struct {
	requests *openapi3.T // what may be sent: also asks for what only creating needs
	answers  *openapi3.T // what may be answered: an unset date may be null or ""
}

// The document is rebuilt before it is loaded, because as published it would let everything pass:
//
//   - an object with properties takes no others; those that x-added-* lists (name to type, added by later versions of the
//     document) are taken with any value;
//   - x-required-* lists what must be sent when creating;
//   - an object without properties that takes any further ones is a value of any type;
//   - in an answer, a date that is not set is missing, null or "".
type side struct {
	required bool
	noDates  bool
}

// NewOpenAPI loads a document.
func NewOpenAPI(document []byte) (*OpenAPI, error) {
	requests, err := load(document, side{required: true})
	if err != nil {
		return nil, err
	}
	answers, err := load(document, side{noDates: true})
	if err != nil {
		return nil, err
	}
	return &OpenAPI{requests, answers}, nil
}

func load(document []byte, s side) (*openapi3.T, error) {
	raw, err := decode(document)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	s.clean(raw)
	cleaned, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("write the cleaned OpenAPI document: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(cleaned)
	if err != nil {
		return nil, fmt.Errorf("load the OpenAPI document: %w", err)
	}
	return doc, nil
}

func (s side) clean(node any) {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			s.clean(element)
		}
	case map[string]any:
		s.cleanSchema(node)
		for _, inner := range node {
			s.clean(inner)
		}
	}
}

func (s side) cleanSchema(node map[string]any) {
	properties, isObject := node["properties"].(map[string]any)
	isObject = isObject && node["type"] == "object"
	if further, ok := node["additionalProperties"].(map[string]any); ok && !isObject && len(further) == 0 {
		delete(node, "type")
		delete(node, "additionalProperties")
	}
	if isObject {
		node["additionalProperties"] = false
	}
	for _, key := range slices.Collect(maps.Keys(node)) {
		switch value := node[key].(type) {
		case map[string]any:
			if isObject && strings.HasPrefix(key, "x-added-") {
				for name := range value {
					if _, known := properties[name]; !known {
						properties[name] = map[string]any{}
					}
				}
			}
		case []any:
			if isObject && s.required && strings.HasPrefix(key, "x-required-") {
				node["required"] = value
			}
		}
	}
	if s.noDates && node["type"] == "string" && node["format"] == "date-time" {
		delete(node, "format")
		node["nullable"] = true
		node["pattern"] = `^(|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z)$`
	}
}

// Check says what the document does not allow about an exchange with path, which is the path without the base of the
// API. Bodies of refusals (400 and above) are not described by the documents we have and are not judged.
func (o *OpenAPI) Check(e Exchange, path string) []string {
	template, ok := findPath(o.requests, path)
	if !ok {
		return []string{fmt.Sprintf("the path %s is not in the document", path)}
	}
	operation := o.requests.Paths.Value(template).GetOperation(e.Method)
	if operation == nil {
		return []string{fmt.Sprintf("%s of %s is not in the document", e.Method, template)}
	}
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for name, values := range e.Query {
		parameter := operation.Parameters.GetByInAndName("query", name)
		if parameter == nil {
			add("the query parameter %s of %s is not in the document", name, template)
			continue
		}
		if parameter.Schema.Value.Type.Is("integer") {
			for _, v := range values {
				if _, err := strconv.Atoi(v); err != nil {
					add("the query parameter %s=%s of %s is not a whole number", name, v, template)
				}
			}
		}
	}
	o.checkRequest(e, template, operation, add)
	o.checkAnswer(e, template, add)
	slices.Sort(problems)
	return problems
}

func (o *OpenAPI) checkRequest(e Exchange, template string, operation *openapi3.Operation, add func(string, ...any)) {
	if operation.RequestBody == nil {
		if len(e.Request) > 0 {
			add("%s of %s takes no body", e.Method, template)
		}
		return
	}
	body, err := decode(e.Request)
	if err != nil {
		add("the body sent is %v", err)
		return
	}
	if e.Method == http.MethodPatch {
		o.checkPatch(body, operation, add)
		return
	}
	for _, p := range visit(schemaOf(operation.RequestBody.Value.Content), body, openapi3.VisitAsRequest()) {
		add("sent: %s", p)
	}
}

// checkPatch judges a list of operations by the schema of what is patched: each path names a member of it, and the value
// must suit that member.
func (o *OpenAPI) checkPatch(body any, operation *openapi3.Operation, add func(string, ...any)) {
	ok := operation.Responses.Value("200")
	if ok == nil {
		add("the document does not say what the patched object is")
		return
	}
	patched := schemaOf(ok.Value.Content)
	list, isList := body.([]any)
	if !isList {
		add("sent: a PATCH is a list of operations")
		return
	}
	for i, entry := range list {
		object, _ := entry.(map[string]any)
		op, _ := object["op"].(string)
		path, _ := object["path"].(string)
		if op != "add" && op != "replace" && op != "remove" {
			add("sent: /%d/op: %q is not add, replace or remove", i, op)
		}
		for name := range object {
			if name != "op" && name != "path" && name != "value" {
				add("sent: /%d: an operation has no member %q", i, name)
			}
		}
		member := patched.Properties[path]
		if member == nil {
			add("sent: /%d/path: %q is not a member of what is patched", i, path)
			continue
		}
		if op == "remove" {
			continue
		}
		for _, p := range visit(member.Value, object["value"], openapi3.VisitAsRequest()) {
			add("sent: /%d/value of %s: %s", i, path, p)
		}
	}
}

func (o *OpenAPI) checkAnswer(e Exchange, template string, add func(string, ...any)) {
	if e.Status >= http.StatusBadRequest {
		return
	}
	answer := o.answers.Paths.Value(template).GetOperation(e.Method).Responses.Value(strconv.Itoa(e.Status))
	if answer == nil {
		add("%s of %s does not answer %d in the document", e.Method, template, e.Status)
		return
	}
	schema := schemaOf(answer.Value.Content)
	if schema == nil {
		if len(e.Response) > 0 {
			add("%s of %s answers %d without a body in the document", e.Method, template, e.Status)
		}
		return
	}
	body, err := decode(e.Response)
	if err != nil {
		add("the body answered is %v", err)
		return
	}
	for _, p := range visit(schema, body, openapi3.VisitAsResponse()) {
		// Whoever asks for some fields gets an object without the others.
		if e.Query.Has("fields") && strings.HasSuffix(p, "is missing") {
			continue
		}
		add("answered: %s", p)
	}
}

// findPath finds the template of a path; one with fewer placeholders wins. A slash at the end belongs to the path.
func findPath(doc *openapi3.T, path string) (string, bool) {
	var best string
	for template := range doc.Paths.Map() {
		if samePath(template, path) && strings.HasSuffix(template, "/") == strings.HasSuffix(path, "/") && (best == "" || strings.Count(template, "{") < strings.Count(best, "{")) {
			best = template
		}
	}
	return best, best != ""
}

func schemaOf(content openapi3.Content) *openapi3.Schema {
	for _, media := range content {
		if media.Schema != nil {
			return media.Schema.Value
		}
	}
	return nil
}

// visit lists what a value breaks of a schema, as "/pointer: reason".
func visit(schema *openapi3.Schema, value any, as openapi3.SchemaValidationOption) []string {
	if schema == nil {
		return nil
	}
	return flatten(schema.VisitJSON(value, as, openapi3.MultiErrors()))
}

func flatten(err error) []string {
	if err == nil {
		return nil
	}
	var several openapi3.MultiError
	if errors.As(err, &several) {
		var all []string
		for _, one := range several {
			all = append(all, flatten(one)...)
		}
		return all
	}
	var one *openapi3.SchemaError
	if errors.As(err, &one) {
		return []string{"/" + strings.Join(one.JSONPointer(), "/") + ": " + one.Reason}
	}
	return []string{err.Error()}
}
