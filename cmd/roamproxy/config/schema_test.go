package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"roamproxy/proxy/credential"
)

var update = flag.Bool("update", false, "write what is generated")

const schemaFile = "../../../deploy/config.schema.json"

// schema returns the JSON schema of a type. Descriptions and defaults come from config.example.yaml.
func schema(t reflect.Type, example *yaml.Node) map[string]any {
	s := map[string]any{}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch reflect.New(t).Interface().(type) {
	case *Duration:
		s = map[string]any{"type": "string", "pattern": `^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$|^0$|\$`}
	case *Size:
		s = map[string]any{"type": []string{"string", "integer"}, "pattern": `^\d+(\.\d+)? ?(B|KiB|MiB|GiB)?$|\$`}
	case *DailyCalls:
		s = map[string]any{"type": []string{"integer", "string"}, "pattern": `^(\d+|unlimited)$|\$`}
	case *TTL:
		s = map[string]any{"type": []string{"string", "integer"}}
	case *credential.Secret:
		s = map[string]any{"type": "string", "writeOnly": true}
	default:
		switch t.Kind() {
		case reflect.Struct:
			properties := map[string]any{}
			for i := range t.NumField() {
				key := t.Field(i).Tag.Get("key")
				properties[key] = schema(t.Field(i).Type, child(example, key))
				if c := comment(example, key); c != "" {
					properties[key].(map[string]any)["description"] = c
				}
			}
			s = map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
		case reflect.Slice:
			items := schema(t.Elem(), element(example))
			s = map[string]any{"type": "array", "items": items}
			if t.Elem().Kind() == reflect.String {
				s = map[string]any{"anyOf": []any{s, items}} // one value instead of a list of one
			}
		case reflect.Bool:
			s["type"] = "boolean"
		case reflect.Int:
			s["type"] = "integer"
		case reflect.Float64:
			s["type"] = "number"
		default:
			s["type"] = "string"
		}
	}
	if example != nil && example.Kind == yaml.ScalarNode && !strings.Contains(example.Value, "$") {
		var value any
		if example.Decode(&value) == nil && value != nil {
			s["default"] = value
		}
	}
	return s
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func comment(n *yaml.Node, key string) string {
	value := child(n, key)
	if value == nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(value.LineComment, "#"))
}

func element(n *yaml.Node) *yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return nil
	}
	return n.Content[0]
}

func example(t *testing.T) (content []byte, root *yaml.Node) {
	t.Helper()
	content, err := os.ReadFile("../../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		t.Fatal(err)
	}
	return content, doc.Content[0]
}

func TestTheSchemaMatchesTheTypes(t *testing.T) {
	_, root := example(t)
	s := schema(reflect.TypeFor[Config](), root)
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "roamproxy"
	var now bytes.Buffer
	out := json.NewEncoder(&now)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(s); err != nil {
		t.Fatal(err)
	}
	if *update {
		os.WriteFile(schemaFile, now.Bytes(), 0o644)
	}
	kept, err := os.ReadFile(schemaFile)
	if err != nil || !bytes.Equal(kept, now.Bytes()) {
		t.Errorf("%s is not what the types say (%v); go test ./cmd/roamproxy/config -run TestTheSchema -update writes it", schemaFile, err)
	}
}

func TestTheSchemaRejectsMistakes(t *testing.T) {
	compiled, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := example(t)
	for _, tt := range []struct {
		name, yaml string
		good       bool
	}{
		{"the example", string(content), true},
		{"a variable for a duration", "upstream: {timeout: \"${T}\"}", true},
		{"a list of one as a value", "tools: [{name: a, token_sha256: ab}]", true},
		{"a key that is not there", "quota: []", false},
		{"a key that is not there, further down", "quotas: [{rat: 1}]", false},
		{"a duration without a unit", "upstream: {timeout: 30}", false},
		{"a word for a number", "quotas: [{rate: fast}]", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var value any
			if err := yaml.Unmarshal([]byte(tt.yaml), &value); err != nil {
				t.Fatal(err)
			}
			plain, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			instance, _ := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
			if err := compiled.Validate(instance); (err == nil) != tt.good {
				t.Errorf("the schema says %v, want good = %v", err, tt.good)
			}
		})
	}
}
