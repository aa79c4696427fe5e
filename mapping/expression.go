package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/model"
)

// Function is something an expression may call.
type Function struct{ Call, Doc string }

// Functions are all of them, in documentation order.
var Functions = []Function{
	{`field("name")`, "A native field whose name is not a plain word, like custom.Cost Centre."},
	{`blank(x)`, "True when x holds nothing."},
	{`product_key(sku, term, billing)`, "The three texts joined the way trueup identifies a product."},
	{`number(text)`, "A text as an exact number."},
	{`round(x, places)`, "A quantity or money with so many decimals, half to even."},
	{`host(text)`, "The domain of a web address or e-mail address."},
	{`len(x)`, "How many letters a text or entries a list has."},
	{`trim(text)`, "A text without white space at both ends."},
	{`trimPrefix(text, prefix)`, "A text without a beginning."},
	{`trimSuffix(text, suffix)`, "A text without an ending."},
	{`upper(text)`, "Upper case."},
	{`lower(text)`, "Lower case."},
	{`replace(text, old, new)`, "A text with every old replaced by new."},
	{`split(text, separator)`, "A text cut into a list."},
	{`join(list, separator)`, "A list as one text."},
	{`hasPrefix(text, prefix)`, "True when a text begins so."},
	{`hasSuffix(text, suffix)`, "True when a text ends so."},
	{`any(list, condition)`, "True when # fits the condition for one entry."},
	{`all(list, condition)`, "True when # fits the condition for every entry."},
	{`none(list, condition)`, "True when # fits the condition for no entry."},
}

// borrowed are the functions that are expr's own.
var borrowed = []string{"len", "trim", "trimPrefix", "trimSuffix", "upper", "lower", "replace", "split", "join", "hasPrefix", "hasSuffix", "any", "all", "none"}

func functionNames() []string {
	names := make([]string, len(Functions))
	for i, f := range Functions {
		names[i], _, _ = strings.Cut(f.Call, "(")
	}
	return names
}

// The record's own id and its parent's, offered as fields of every kind.
const (
	fieldID     = "id"
	fieldParent = "parent"
)

// nativeField finds a field of a kind, the record's own id and parent included.
func nativeField(kind connectors.Kind, name string) (connectors.Field, bool) {
	switch {
	case name == fieldID:
		return connectors.Field{Name: fieldID, Type: model.TypeText, Doc: "The record's id."}, true
	case name == fieldParent && kind.Parent != "":
		return connectors.Field{Name: fieldParent, Type: model.TypeText, Doc: "Id of the " + kind.Parent + " it belongs to."}, true
	case name == fieldParent:
		return connectors.Field{}, false
	}
	return kind.Field(name)
}

func nativeNames(kind connectors.Kind) []string {
	names := append(kind.FieldNames(), fieldID)
	if kind.Parent != "" {
		names = append(names, fieldParent)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// nativeHint names the field that was meant: the nearest one, or the one that ends in the same word.
func nativeHint(word string, kind connectors.Kind) string {
	names := nativeNames(kind)
	for _, name := range names {
		if strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(word)) {
			return fmt.Sprintf("did you mean %q?", name)
		}
	}
	return diag.DidYouMean(word, names)
}

// expression is compiled and checked.
type expression struct {
	pos     diag.Pos
	text    string
	program *vm.Program
	refs    []connectors.Field
	result  model.Type
}

// complaint is a fault in an expression; at counts letters from its beginning.
type complaint struct {
	at            int
	message, hint string
}

// compileExpression checks text against the fields of a kind. Faults of names are all reported, others one at a time.
func compileExpression(text string, kind connectors.Kind) (*expression, []complaint) {
	names := &nameResolver{kind: kind}
	config := conf.CreateNew()
	for _, option := range functionOptions() {
		option(config)
	}
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return nil, []complaint{fromExpr(err)}
	}
	ast.Walk(&tree.Node, names)
	if faults := names.faults(); len(faults) > 0 {
		return nil, faults
	}
	refs := references{kind: kind, fields: map[string]connectors.Field{}}
	ast.Walk(&tree.Node, refs)
	env := make(map[string]any, len(refs.fields))
	for name, f := range refs.fields {
		env[name] = inside(model.Empty(f.Type))
	}
	numbers := &exactArithmetic{source: []rune(text)}
	options := append([]expr.Option{expr.Env(env), expr.Optimize(false), expr.Patch(names), expr.Patch(numbers)}, functionOptions()...)
	program, err := expr.Compile(text, options...)
	if len(numbers.found) > 0 {
		return nil, numbers.found
	}
	if err != nil {
		return nil, []complaint{fromExpr(err)}
	}
	e := &expression{text: text, program: program}
	for _, name := range sortedKeys(refs.fields) {
		e.refs = append(e.refs, refs.fields[name])
	}
	root := program.Node()
	result, ok := resultTypes[root.Type()]
	if !ok {
		return nil, []complaint{{0, "the expression gives " + plainTypes(root.Type().String()) + ", which no field can hold", "it must give a text, a quantity, money, true or false, or a list"}}
	}
	e.result = result
	return e, nil
}

var resultTypes = map[reflect.Type]model.Type{
	reflect.TypeFor[string]():   model.TypeText,
	reflect.TypeFor[number]():   model.TypeQuantity,
	reflect.TypeFor[int]():      model.TypeQuantity,
	reflect.TypeFor[amount]():   model.TypeMoney,
	reflect.TypeFor[bool]():     model.TypeBool,
	reflect.TypeFor[[]string](): model.TypeList,
}

func functionOptions() []expr.Option {
	options := []expr.Option{expr.DisableAllBuiltins()}
	for _, name := range borrowed {
		options = append(options, expr.EnableBuiltin(name))
	}
	options = append(options,
		expr.Function("blank", func(params ...any) (any, error) { return isBlank(params[0]), nil },
			new(func(string) bool), new(func(number) bool), new(func(amount) bool), new(func([]string) bool)),
		expr.Function("product_key", func(params ...any) (any, error) {
			return model.ProductKey(params[0].(string), params[1].(string), params[2].(string)), nil
		}, new(func(string, string, string) string)),
		expr.Function("number", parseNumber, new(func(string) number)),
		expr.Function("round", round, new(func(number, int) number), new(func(amount, int) amount)),
		expr.Function("host", func(params ...any) (any, error) { return host(params[0].(string)), nil }, new(func(string) string)),
	)
	return append(options, exactOperators()...)
}

func isBlank(x any) bool {
	switch x := x.(type) {
	case string:
		return x == ""
	case []string:
		return len(x) == 0
	case number:
		return x.none
	case amount:
		return x.none
	}
	return false
}

// plainTypes puts expr's words for types into ours.
func plainTypes(message string) string {
	return typeWords.Replace(message)
}

var typeWords = strings.NewReplacer("mapping.number", "quantity", "mapping.amount", "money", "[]string", "list", "[]interface {}", "a mixed list", "string", "text", "interface {}", "anything")

func fromExpr(err error) complaint {
	var at *file.Error
	if !errors.As(err, &at) {
		return complaint{0, plainTypes(err.Error()), ""}
	}
	if strings.Contains(at.Message, "EOF") {
		return complaint{at.From, "the expression ends too early", "put it in single quotes: without them YAML takes # for a comment and, between braces, a comma for the end"}
	}
	return complaint{at.From, plainTypes(at.Message), ""}
}

// native lists the fields the expression looks at.
func (e *expression) native() string {
	names := make([]string, len(e.refs))
	for i, f := range e.refs {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// machines are reused: a listing evaluates hundreds of thousands of expressions.
var machines = sync.Pool{New: func() any { return new(vm.VM) }}

// eval gives the value; missing names a field that was not delivered, in which case there is none.
func (e *expression) eval(rec connectors.Record) (v model.Value, missing string, err error) {
	env := make(map[string]any, len(e.refs))
	for _, f := range e.refs {
		value := nativeValue(rec, f.Name)
		if !value.Known() {
			return model.Value{}, f.Name, nil
		}
		if value.Type() != f.Type {
			return model.Value{}, "", fmt.Errorf("the connector delivered %s as %s, but declares it as %s", f.Name, value.Type(), f.Type)
		}
		env[f.Name] = inside(value)
	}
	machine := machines.Get().(*vm.VM)
	result, err := machine.Run(e.program, env)
	machines.Put(machine)
	if err != nil {
		return model.Value{}, "", fmt.Errorf("the expression fails: %s", strings.TrimPrefix(fromExpr(err).message, "runtime error: "))
	}
	v, err = outside(result)
	return v, "", err
}

// nameResolver turns dotted names, and field("..."), into single identifiers named like the native field.
type nameResolver struct {
	kind     connectors.Kind
	unknown  []*ast.IdentifierNode
	longest  map[*ast.IdentifierNode]string // the dotted name an unknown identifier begins
	variable []string
	found    []complaint
}

var plainWord = regexp.MustCompile(`^[\pL_][\pL\pN_]*$`)

func (r *nameResolver) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if _, ok := nativeField(r.kind, n.Value); !ok {
			r.unknown = append(r.unknown, n)
		}
	case *ast.MemberNode:
		base, name := dotted(n)
		if base == nil {
			return
		}
		if _, ok := nativeField(r.kind, name); ok {
			r.forget(base)
			ast.Patch(node, &ast.IdentifierNode{Value: name})
			return
		}
		if r.longest == nil {
			r.longest = map[*ast.IdentifierNode]string{}
		}
		r.longest[base] = name
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return
		}
		r.forget(callee)
		if callee.Value == "field" {
			r.resolveCall(node, n)
			return
		}
		// Operators become calls of functions named like them once types are known.
		if names := functionNames(); !slices.Contains(names, callee.Value) && plainWord.MatchString(callee.Value) {
			r.complain(callee, diag.DidYouMean(callee.Value, names), "unknown function %q", callee.Value)
		}
	case *ast.BuiltinNode:
		if names := functionNames(); !slices.Contains(names, n.Name) {
			r.complain(n, diag.DidYouMean(n.Name, names), "unknown function %q", n.Name)
		}
	case *ast.VariableDeclaratorNode:
		r.variable = append(r.variable, n.Name)
	}
}

func (r *nameResolver) resolveCall(node *ast.Node, call *ast.CallNode) {
	if len(call.Arguments) == 1 {
		if name, ok := call.Arguments[0].(*ast.StringNode); ok {
			if _, known := nativeField(r.kind, name.Value); !known {
				r.complain(name, nativeHint(name.Value, r.kind), "unknown field %q of %s", name.Value, r.kind.Name)
				return
			}
			ast.Patch(node, &ast.IdentifierNode{Value: name.Value})
			return
		}
	}
	r.complain(call, `write field("the field's name")`, "field() takes one name in quotes")
}

func (r *nameResolver) forget(n *ast.IdentifierNode) {
	r.unknown = slices.DeleteFunc(r.unknown, func(u *ast.IdentifierNode) bool { return u == n })
}

func (r *nameResolver) complain(n ast.Node, hint, format string, args ...any) {
	r.found = append(r.found, complaint{n.Location().From, fmt.Sprintf(format, args...), hint})
}

func (r *nameResolver) faults() []complaint {
	for _, n := range r.unknown {
		if slices.Contains(r.variable, n.Value) {
			continue
		}
		name := n.Value
		if longer, ok := r.longest[n]; ok {
			name = longer
		}
		r.complain(n, nativeHint(name, r.kind), "unknown field %q of %s", name, r.kind.Name)
	}
	return r.found
}

// references collects the fields that a resolved expression looks at.
type references struct {
	kind   connectors.Kind
	fields map[string]connectors.Field
}

func (r references) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.IdentifierNode); ok {
		if f, ok := nativeField(r.kind, n.Value); ok {
			r.fields[n.Value] = f
		}
	}
}

// dotted reads a.b.c; base is nil for anything else.
func dotted(n *ast.MemberNode) (base *ast.IdentifierNode, name string) {
	property, ok := n.Property.(*ast.StringNode)
	if !ok {
		return nil, ""
	}
	switch inner := n.Node.(type) {
	case *ast.IdentifierNode:
		return inner, inner.Value + "." + property.Value
	case *ast.MemberNode:
		if base, name := dotted(inner); base != nil {
			return base, name + "." + property.Value
		}
	}
	return nil, ""
}

// exactArithmetic makes an expression compute exactly. Numbers as written become exact where they meet a quantity, money
// or each other, and stay plain indexes and lengths elsewhere; operators between exact values become calls. Expr checks
// the types again after each walk, so what one walk could not know the next one does.
type exactArithmetic struct {
	source  []rune
	changed bool
	found   []complaint
}

func (x *exactArithmetic) Reset()             { x.changed = false }
func (x *exactArithmetic) ShouldRepeat() bool { return x.changed && len(x.found) == 0 }

var (
	numberType = reflect.TypeFor[number]()
	amountType = reflect.TypeFor[amount]()
	anyType    = reflect.TypeFor[any]()
)

func (x *exactArithmetic) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.FloatNode:
		at := n.Location()
		text := strings.ReplaceAll(string(x.source[at.From:at.To]), "_", "")
		q, err := model.ParseQuantity(text) // which bounds its length: written out, 1e999999999 fills the memory
		if err != nil {
			x.found = append(x.found, complaint{at.From, fmt.Sprintf("%q is not a number", text), ""})
			return
		}
		x.setNumber(node, q.Decimal())
	case *ast.UnaryNode:
		x.negate(node, n)
	case *ast.BinaryNode:
		if numeric(n.Left) || numeric(n.Right) || strings.Contains("+-*/", n.Operator) && literal(n.Left) && literal(n.Right) {
			x.makeExact(&n.Left)
			x.makeExact(&n.Right)
		}
		if n.Operator == "in" && numeric(n.Left) {
			x.found = append(x.found, complaint{n.Location().From, "in does not work with quantities and money", "compare with == and or"})
			return
		}
		if result, ok := operatorResult(n.Operator, typeOf(n.Left), typeOf(n.Right)); ok {
			call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: n.Operator}, Arguments: []ast.Node{n.Left, n.Right}}
			ast.Patch(node, call)
			call.SetType(result)
			x.changed = true
		}
	case *ast.ConditionalNode:
		if numeric(n.Exp1) || numeric(n.Exp2) {
			x.makeExact(&n.Exp1)
			x.makeExact(&n.Exp2)
		}
	case *ast.CallNode:
		// Expr keeps the type it found first, which was a guess while the arguments were not resolved.
		n.SetType(anyType)
	}
}

func (x *exactArithmetic) negate(node *ast.Node, n *ast.UnaryNode) {
	if n.Operator != "-" {
		return
	}
	if c, ok := n.Node.(*ast.ConstantNode); ok {
		if v, ok := c.Value.(number); ok {
			x.setNumber(node, v.d.Neg())
		}
		return
	}
	if numeric(n.Node) {
		minus := &ast.ConstantNode{Value: number{d: decimal.NewFromInt(-1)}}
		minus.SetLocation(n.Location())
		minus.SetType(numberType)
		ast.Patch(node, &ast.BinaryNode{Operator: "*", Left: n.Node, Right: minus})
		x.Visit(node)
	}
}

func (x *exactArithmetic) setNumber(node *ast.Node, d decimal.Decimal) {
	exact := &ast.ConstantNode{Value: number{d: d}}
	ast.Patch(node, exact)
	exact.SetType(numberType)
	x.changed = true
}

// makeExact turns whole numbers as written, with or without a sign, also as the two sides of a choice, into exact ones.
func (x *exactArithmetic) makeExact(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode:
		x.setNumber(node, decimal.NewFromInt(int64(n.Value)))
	case *ast.UnaryNode:
		if inner, ok := n.Node.(*ast.IntegerNode); ok && n.Operator == "-" {
			x.setNumber(node, decimal.NewFromInt(-int64(inner.Value)))
		}
	case *ast.ConditionalNode:
		x.makeExact(&n.Exp1)
		x.makeExact(&n.Exp2)
	}
}

func literal(n ast.Node) bool {
	if u, ok := n.(*ast.UnaryNode); ok && u.Operator == "-" {
		n = u.Node
	}
	_, ok := n.(*ast.IntegerNode)
	return ok
}

func numeric(n ast.Node) bool {
	t := typeOf(n)
	return t == numberType || t == amountType
}

// typeOf is a node's type; for nodes that expr has not resolved yet, what their parts say.
func typeOf(n ast.Node) reflect.Type {
	switch n := n.(type) {
	case *ast.ConditionalNode:
		if t := typeOf(n.Exp1); t == typeOf(n.Exp2) {
			return t
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && len(n.Arguments) > 0 {
			switch callee.Value {
			case "round":
				return typeOf(n.Arguments[0])
			case "number":
				return numberType
			}
			if len(n.Arguments) == 2 {
				if t, ok := operatorResult(callee.Value, typeOf(n.Arguments[0]), typeOf(n.Arguments[1])); ok {
					return t
				}
			}
		}
	}
	return n.Type()
}
