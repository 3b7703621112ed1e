package proxy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// Every code has a meaning, and each just one.
//
// Seen to fail with a code that Reasons did not have.
func TestEveryCodeHasAMeaning(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "code") {
			constants++
		}
		return true
	})
	var codes []Code
	for _, r := range Reasons() {
		if r.Text == "" || slices.Contains(codes, r.Code) {
			t.Errorf("%s: %q, want a text, once", r.Code, r.Text)
		}
		codes = append(codes, r.Code)
	}
	if len(codes) != constants {
		t.Errorf("%d codes have a meaning, want %d", len(codes), constants)
	}
}
