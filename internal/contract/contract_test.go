package contract

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A made-up system of shelves and boxes.
const shop = `{
  "openapi": "3.0.1", "info": {"title": "shop", "version": "1"},
  "paths": {
    "/shelves/{shelf}/boxes": {
      "get": {
        "parameters": [
          {"name": "shelf", "in": "path", "required": true, "schema": {"type": "integer"}},
          {"name": "pageSize", "in": "query", "schema": {"type": "integer"}},
          {"name": "fields", "in": "query", "schema": {"type": "string"}}],
        "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Box"}}}}}}
      },
      "post": {
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Box"}}}},
        "responses": {"201": {"description": "made", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Box"}}}}}
      }
    },
    "/shelves/{shelf}/boxes/{box}": {
      "patch": {
        "requestBody": {"content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Op"}}}}},
        "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Box"}}}}}
      },
      "delete": {"responses": {"204": {"description": "gone"}}}
    },
    "/shelves/{shelf}/boxes/count": {"get": {"responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object", "properties": {"count": {"type": "integer"}}}}}}}}}
  },
  "components": {"schemas": {
    "Op": {"type": "object", "properties": {"op": {"type": "string"}, "path": {"type": "string"}, "value": {"type": "object", "additionalProperties": {}}}},
    "Box": {
      "type": "object", "required": ["size"], "x-required-2": ["size", "owner"], "x-added-2": {"colour": "string"},
      "properties": {
        "size": {"type": "number"}, "label": {"type": "string", "maxLength": 5}, "state": {"type": "string", "enum": ["open", "shut"], "nullable": true},
        "until": {"type": "string", "format": "date-time"}, "owner": {"$ref": "#/components/schemas/Owner"},
        "notes": {"type": "object", "additionalProperties": {"type": "string"}}, "extra": {"type": "object", "additionalProperties": {}}}},
    "Owner": {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
  }}
}`

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	api, err := NewOpenAPI([]byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	const boxes, box = "/shelves/4/boxes", "/shelves/4/boxes/7"
	cases := map[string]struct {
		method, path, query, sent string
		status                    int
		answered                  string
		want                      []string
	}{
		"all is well":             {"GET", boxes, "pageSize=2", "", 200, `[{"size": 2.5, "label": "small", "state": null, "owner": {"id": 1}, "notes": {"by": "me"}, "extra": 3}]`, nil},
		"added later":             {"GET", boxes, "", "", 200, `[{"size": 1, "colour": "red"}]`, nil},
		"unset date":              {"GET", boxes, "", "", 200, `[{"size": 1, "until": ""}, {"size": 1, "until": null}, {"size": 1, "until": "2031-02-01T00:00:00Z"}]`, nil},
		"fewer fields":            {"GET", boxes, "fields=label", "", 200, `[{"label": "a"}]`, nil},
		"fixed path wins":         {"GET", boxes + "/count", "", "", 200, `{"count": 3}`, nil},
		"unknown path":            {"GET", "/shelfs/4/boxes", "", "", 200, `[]`, []string{"the path /shelfs/4/boxes is not in the document"}},
		"slash at the end":        {"GET", boxes + "/", "", "", 200, `[]`, []string{"the path /shelves/4/boxes/ is not in the document"}},
		"unknown verb":            {"PUT", box, "", "", 200, `{}`, []string{"PUT of /shelves/{shelf}/boxes/{box} is not in the document"}},
		"unknown parameter":       {"GET", boxes, "pagesize=2", "", 200, `[]`, []string{"the query parameter pagesize of /shelves/{shelf}/boxes is not in the document"}},
		"parameter of wrong type": {"GET", boxes, "pageSize=all", "", 200, `[]`, []string{"the query parameter pageSize=all of /shelves/{shelf}/boxes is not a whole number"}},
		"unknown status":          {"GET", boxes, "", "", 206, `[]`, []string{"GET of /shelves/{shelf}/boxes does not answer 206 in the document"}},
		"unknown member":          {"GET", boxes, "", "", 200, `[{"size": 1, "sise": 2}]`, []string{`answered: /0: property "sise" is unsupported`}},
		"unknown member inside":   {"GET", boxes, "", "", 200, `[{"size": 1, "owner": {"naam": "x"}}]`, []string{`answered: /0/owner: property "naam" is unsupported`}},
		"several":                 {"GET", boxes, "", "", 200, `[{"size": "1", "state": "ajar"}, {"size": 1, "label": "too long"}]`, []string{`answered: /0/size: value must be a number`, `answered: /0/state: value is not one of the allowed values ["open","shut"]`, `answered: /1/label: maximum string length is 5`}},
		"missing":                 {"GET", boxes, "", "", 200, `[{"label": "a"}]`, []string{`answered: /0/size: property "size" is missing`}},
		"not a date":              {"GET", boxes, "", "", 200, `[{"size": 1, "until": "2031-02-01"}]`, []string{`answered: /0/until: string doesn't match the regular expression "^(|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z)$"`}},
		"null owner":              {"GET", boxes, "", "", 200, `[{"size": 1, "owner": null}]`, []string{`answered: /0/owner: Value is not nullable`}},
		"a page of HTML":          {"GET", boxes, "", "", 200, `<html>`, []string{"the body answered is not JSON: invalid character '<' looking for beginning of value"}},
		"a refusal":               {"GET", boxes, "", "", 404, `<html>`, nil},
		"creates":                 {"POST", boxes, "", `{"size": 1, "owner": {"id": 1}}`, 201, `{"size": 1}`, nil},
		"creates with too little": {"POST", boxes, "", `{"size": 1}`, 201, `{"size": 1}`, []string{`sent: /owner: property "owner" is missing`}},
		"creates with too much":   {"POST", boxes, "", `{"size": 1, "owner": {"id": 1}, "price": 2}`, 201, `{"size": 1}`, []string{`sent: /: property "price" is unsupported`}},
		"patches":                 {"PATCH", box, "", `[{"op": "replace", "path": "size", "value": 2}, {"op": "replace", "path": "owner", "value": {"id": 3}}, {"op": "remove", "path": "label"}]`, 200, `{"size": 2}`, nil},
		"patches with a slash":    {"PATCH", box, "", `[{"op": "replace", "path": "/size", "value": 2}]`, 200, `{"size": 2}`, []string{`sent: /0/path: "/size" is not a member of what is patched`}},
		"patches inside":          {"PATCH", box, "", `[{"op": "replace", "path": "owner/id", "value": 2}]`, 200, `{"size": 2}`, []string{`sent: /0/path: "owner/id" is not a member of what is patched`}},
		"patches with nonsense":   {"PATCH", box, "", `[{"op": "put", "path": "size", "value": "2", "why": 1}]`, 200, `{"size": 2}`, []string{`sent: /0/op: "put" is not add, replace or remove`, `sent: /0/value of size: /: value must be a number`, `sent: /0: an operation has no member "why"`}},
		"patches with an object":  {"PATCH", box, "", `{"size": 2}`, 200, `{"size": 2}`, []string{`sent: a PATCH is a list of operations`}},
		"deletes":                 {"DELETE", box, "", "", 204, "", nil},
		"deletes with a body":     {"DELETE", box, "", `{}`, 204, `{}`, []string{"DELETE of /shelves/{shelf}/boxes/{box} answers 204 without a body in the document", "DELETE of /shelves/{shelf}/boxes/{box} takes no body"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query, err := url.ParseQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			got := api.Check(Exchange{Method: tc.method, Query: query, Request: []byte(tc.sent), Status: tc.status, Response: []byte(tc.answered)}, tc.path)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSwaggerShape(t *testing.T) {
	t.Parallel()
	const document = `{"definitions": {
	  "Page[Box]": {"properties": {"items": {"type": "array", "items": {"$ref": "#/definitions/Box"}}, "note": {"type": "string"}}},
	  "Box": {"properties": {"id": {}, "inside": {"$ref": "#/definitions/Box"}, "owner": {"$ref": "#/definitions/Owner"}}},
	  "Owner": {"properties": {"name": {}}}}}`
	shape, err := SwaggerShape([]byte(document), "Page[Box]")
	if err != nil {
		t.Fatal(err)
	}
	value := parse(t, `{"items": [{"id": 1, "owner": {"name": "a", "age": 3}}, {"owner": {"age": 3}, "ID": 2, "inside": {"whatever": 1}}], "page": 2}`)
	if diff := cmp.Diff([]string{"items.ID", "items.owner.age", "page"}, shape.Unknown(value)); diff != "" {
		t.Errorf("unknown members (-want +got):\n%s", diff)
	}
	if _, err := SwaggerShape([]byte(document), "Bix"); err == nil {
		t.Error("a definition that is not there was found")
	}
}

func TestTableShape(t *testing.T) {
	t.Parallel()
	page := strings.ReplaceAll(`# Shop
### 1.1 Shelves
| Field | Type |
|---|---|
| wrong | text |
### 1.2 Boxes of wood
| Field | Type | Meaning |
|---|---|---|
| id | guid | name of the box |
| size, unit | int, text | |
| owner | {name, since?} | who |
| windows | [{kind: Full\|Part, until}] | |
| next | {box:{id,tags:[text]}, size, parts:[{n}]} or null | |
| links | self, next | |
~~~json
{"id": 1, "seen": {"any": 1}}
~~~
### 1.3 Else
| other | text |
`, "~~~", "```")
	shape, err := TableShape(page, "### 1.2", "links")
	if err != nil {
		t.Fatal(err)
	}
	want := Shape{
		"id": nil, "size": nil, "unit": nil, "owner": {"name": nil, "since": nil}, "windows": {"kind": nil, "until": nil},
		"next": {"box": {"id": nil, "tags": nil}, "size": nil, "parts": {"n": nil}}, "links": {"self": nil, "next": nil}, "seen": nil,
	}
	if diff := cmp.Diff(want, shape); diff != "" {
		t.Errorf("shape (-want +got):\n%s", diff)
	}
	value := parse(t, `{"id": 1, "quantity": 2, "next": {"box": {"sku": 1}}, "windows": [{"until": 1}, {"till": 2}]}`)
	if diff := cmp.Diff([]string{"next.box.sku", "quantity", "windows.till"}, shape.Unknown(value)); diff != "" {
		t.Errorf("unknown members (-want +got):\n%s", diff)
	}
	for _, broken := range []string{"no heading", "### 1.2\nno table", "### 1.2\n| a | {b, c |\n", "### 1.2\n| a | text |\n```json\n{\n```\n"} {
		if shape, err := TableShape(broken, "### 1.2"); err == nil {
			t.Errorf("%q was read as %v", broken, shape)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	endpoints, err := ReadEndpoints([]byte(`{"Apis": {"GetBoxes": {"Path": "shelves/{0}/boxes", "Parameters": {"Size": "size"}}, "GetBoxesOf": {"Path": "shelves/{0}/boxes", "Parameters": {"Owner": "owner_id"}}}}`), "shop")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		path       string
		parameters []string
		want       []string
	}{
		"known":              {"/Shelves/4/boxes", []string{"size", "owner_id"}, nil},
		"unknown path":       {"/shelves/4/box", nil, []string{"the path /shelves/4/box is not documented"}},
		"deeper":             {"/shelves/4/boxes/7", nil, []string{"the path /shelves/4/boxes/7 is not documented"}},
		"nothing for an id":  {"/shelves//boxes", nil, []string{"the path /shelves//boxes is not documented"}},
		"unknown parameters": {"/shelves/4/boxes", []string{"Size", "owner"}, []string{"the query parameter Size of /shelves/4/boxes is not documented", "the query parameter owner of /shelves/4/boxes is not documented"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, endpoints.Check(tc.path, tc.parameters)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := ReadEndpoints([]byte(`{}`), "shop"); err == nil {
		t.Error("an empty list was taken for a list")
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(append([]byte("got "), body...))
	}))
	t.Cleanup(server.Close)
	recorder := &Recorder{Next: server.Client().Transport}
	client := &http.Client{Transport: recorder}
	response, err := client.Post(server.URL+"/boxes?size=2", "text/plain", strings.NewReader("a box"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "got a box" {
		t.Errorf("the client received %q, %v", body, err)
	}
	exchanges := recorder.Exchanges()
	if len(exchanges) != 1 {
		t.Fatalf("%d exchanges were kept, want 1", len(exchanges))
	}
	e := exchanges[0]
	got := []string{e.String(), e.Query.Encode(), e.Header.Get("Content-Type"), string(e.Request), string(e.Response)}
	if diff := cmp.Diff([]string{"POST /boxes answered 201", "size=2", "text/plain", "a box", "got a box"}, got); diff != "" {
		t.Errorf("exchange (-want +got):\n%s", diff)
	}
}

func parse(t *testing.T, source string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(source), &value); err != nil {
		t.Fatal(err)
	}
	return value
}
