package mapping

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// object is a piece of JSON Schema; json.Marshal sorts its keys, so the same descriptor gives the same bytes.
type object = map[string]any

// Schema is a JSON Schema (draft 2020-12) of one system's mapping files, for completion and checks in editors. It is
// made from the model's tables, the descriptor and the converter table. It knows names and shapes; Load checks the rest.
func Schema(d connectors.Descriptor) ([]byte, error) {
	records := object{}
	for _, t := range model.Tables {
		records[string(t.Kind)] = recordSchema(t, d)
	}
	definitions := object{"as": asSchema()}
	for _, k := range d.Kinds {
		readable, writable := fieldNames(k)
		definitions["read."+k.Name] = readable
		definitions["write."+k.Name] = writable
	}
	return json.MarshalIndent(object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "trueup mapping for " + d.Title,
		"type":                 "object",
		"required":             []string{"version", "system", "records"},
		"additionalProperties": false,
		"properties": object{
			"version": object{"enum": []any{1, "1"}},
			"system":  object{"const": d.System},
			"records": object{"type": "object", "additionalProperties": false, "properties": records},
		},
		"$defs": definitions,
	}, "", "  ")
}

// recordSchema lets the native kind after from: decide which fields may be named.
func recordSchema(t model.Table, d connectors.Descriptor) object {
	var choices []object
	for _, k := range d.Kinds {
		fields := object{}
		for _, f := range t.Fields {
			fields[f.Name] = ruleSchema(f, k)
		}
		properties := object{
			"from":   object{"const": k.Name},
			"fields": object{"type": "object", "additionalProperties": false, "properties": fields},
		}
		properties["create"] = false
		if k.Can(connectors.AbilityCreate) {
			properties["create"] = createSchema(t, k)
		}
		choices = append(choices, object{
			"if":   object{"properties": object{"from": object{"const": k.Name}}},
			"then": object{"properties": properties},
		})
	}
	return object{
		"type":                 "object",
		"description":          t.Doc,
		"required":             []string{"from", "fields"},
		"additionalProperties": false,
		"properties": object{
			"from":   object{"enum": d.KindNames(), "description": "The native kind the noun is made from."},
			"where":  object{"type": "string", "description": "An expression: only records for which it is true."},
			"fields": object{"type": "object"},
			"create": object{"type": "object", "description": "Native fields sent when a record is created."},
		},
		"allOf": choices,
	}
}

func ruleSchema(f model.Field, k connectors.Kind) object {
	read, write := object{"$ref": "#/$defs/read." + k.Name}, object{"$ref": "#/$defs/write." + k.Name}
	words := object{"type": "object", "description": "The system's word for each of the model's."}
	if f.Allowed != nil {
		words["propertyNames"] = object{"enum": f.Allowed}
	}
	return object{
		"description": f.Doc + " (" + string(f.Type) + ")",
		"anyOf": []object{read, {
			"type":                 "object",
			"additionalProperties": false,
			"properties": object{
				"from":  read,
				"both":  write,
				"value": object{"type": "string", "description": "An expression over the native fields; read only."},
				"as":    object{"$ref": "#/$defs/as"},
				"words": words,
			},
			"oneOf": []object{{"required": []string{"from"}}, {"required": []string{"both"}}, {"required": []string{"value"}}},
		}},
	}
}

func createSchema(t model.Table, k connectors.Kind) object {
	value := object{"anyOf": []object{
		{"type": []string{"string", "number", "boolean", "array"}},
		{"type": "object", "additionalProperties": false, "required": []string{"field"}, "properties": object{
			"field": object{"enum": t.Names(), "description": "The model field that gives the value."},
			"cut":   object{"type": "integer", "minimum": 1, "description": "How many letters are sent at most."},
		}},
	}}
	properties := object{}
	for _, f := range k.Fields {
		if f.Writable || f.Create {
			properties[f.Name] = object{"description": f.Doc, "anyOf": value["anyOf"]}
		}
	}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	if k.Custom != "" {
		schema["patternProperties"] = object{customPattern(k): value}
	}
	return schema
}

func fieldNames(k connectors.Kind) (readable, writable object) {
	var writes []string
	for _, f := range k.Fields {
		if f.Writable || f.Scheduled {
			writes = append(writes, f.Name)
		}
	}
	return nameSchema(nativeNames(k), k), nameSchema(writes, k)
}

func nameSchema(names []string, k connectors.Kind) object {
	var choices []object
	if len(names) > 0 {
		choices = append(choices, object{"enum": names})
	}
	if k.Custom != "" {
		choices = append(choices, object{"type": "string", "pattern": customPattern(k)})
	}
	if len(choices) == 0 {
		return object{"not": object{}, "description": "Nothing of " + k.Name + " can be written."}
	}
	return object{"anyOf": choices}
}

func customPattern(k connectors.Kind) string { return "^" + regexp.QuoteMeta(k.Custom) + "." }

// asSchema offers the converters by name; their arguments are checked by pattern.
func asSchema() object {
	var choices []object
	for _, c := range Converters {
		choice := object{"description": c.Doc}
		switch {
		case c.Argument == "":
			choice["const"] = c.Name
		case strings.HasPrefix(c.Argument, "["):
			choice["pattern"] = `^` + c.Name + `(\(.*\))?$`
		default:
			choice["pattern"] = `^` + c.Name + `\(.+\)$`
		}
		choices = append(choices, choice)
	}
	one := object{"type": "string", "anyOf": choices}
	return object{"anyOf": []object{one, {"type": "array", "items": one}}}
}
