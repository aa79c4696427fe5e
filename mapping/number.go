package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/model"
)

// number and amount are what quantities and money are inside an expression: exact, and possibly empty. What is computed
// from something empty is empty; a comparison with something empty is false, and != is true.
type number struct {
	d    decimal.Decimal
	none bool
}

type amount struct {
	m    model.Money
	none bool
}

// divisionDigits is how many decimals a division keeps.
const divisionDigits = 10

var errDivision = errors.New("cannot divide by zero")

func divide(a, b decimal.Decimal) (decimal.Decimal, error) {
	if b.IsZero() {
		return decimal.Decimal{}, errDivision
	}
	return a.DivRound(b, divisionDigits+6).RoundBank(divisionDigits), nil
}

// arithmetic names the operators' functions as no user can: by the operator itself.
func arithmetic(operator string) func(params ...any) (any, error) {
	return func(params ...any) (any, error) {
		switch a := params[0].(type) {
		case number:
			switch b := params[1].(type) {
			case number:
				return onNumbers(operator, a, b)
			case amount: // only number * amount has this shape
				return scale(operator, b, a)
			}
		case amount:
			switch b := params[1].(type) {
			case number:
				return scale(operator, a, b)
			case amount:
				return onAmounts(operator, a, b)
			}
		}
		return nil, fmt.Errorf("cannot compute %T %s %T", params[0], operator, params[1])
	}
}

func onNumbers(operator string, a, b number) (any, error) {
	if a.none || b.none {
		return number{none: true}, nil
	}
	var d decimal.Decimal
	var err error
	switch operator {
	case "+":
		d = a.d.Add(b.d)
	case "-":
		d = a.d.Sub(b.d)
	case "*":
		d = a.d.Mul(b.d)
	case "/":
		d, err = divide(a.d, b.d)
	}
	return number{d: d}, err
}

func scale(operator string, a amount, b number) (any, error) {
	if a.none || b.none {
		return amount{none: true}, nil
	}
	d, err := a.m.Amount(), error(nil)
	if operator == "/" {
		d, err = divide(d, b.d)
	} else {
		d = d.Mul(b.d)
	}
	if err != nil {
		return nil, err
	}
	m, err := model.NewMoney(d, a.m.Currency())
	return amount{m: m}, err
}

func onAmounts(operator string, a, b amount) (any, error) {
	if a.none || b.none {
		if operator == "/" {
			return number{none: true}, nil
		}
		return amount{none: true}, nil
	}
	var m model.Money
	var err error
	switch operator {
	case "+":
		m, err = a.m.Add(b.m)
	case "-":
		m, err = a.m.Sub(b.m)
	case "/": // how many times one amount goes into another
		if _, err = a.m.Sub(b.m); err != nil {
			return nil, err
		}
		d, err := divide(a.m.Amount(), b.m.Amount())
		return number{d: d}, err
	}
	return amount{m: m}, err
}

func comparison(operator string) func(params ...any) (any, error) {
	return func(params ...any) (any, error) {
		order, none, err := compare(params[0], params[1])
		if err != nil {
			return nil, err
		}
		if none {
			return operator == "!=", nil
		}
		switch operator {
		case "==":
			return order == 0, nil
		case "!=":
			return order != 0, nil
		case "<":
			return order < 0, nil
		case "<=":
			return order <= 0, nil
		case ">":
			return order > 0, nil
		}
		return order >= 0, nil
	}
}

// compare orders two numbers, two amounts of one currency, or an amount and a bare number such as 0.
func compare(x, y any) (order int, none bool, err error) {
	switch a := x.(type) {
	case number:
		if b, ok := y.(number); ok {
			return a.d.Cmp(b.d), a.none || b.none, nil
		}
	case amount:
		switch b := y.(type) {
		case number:
			return a.m.Amount().Cmp(b.d), a.none || b.none, nil
		case amount:
			if a.none || b.none {
				return 0, true, nil
			}
			order, err := a.m.Cmp(b.m)
			return order, false, err
		}
	}
	return 0, false, fmt.Errorf("cannot compare %T with %T", x, y)
}

// shapes are the operations there are on numbers and amounts, as functions named like their operator.
var shapes = func() map[string][]any {
	compares := []any{new(func(number, number) bool), new(func(amount, amount) bool), new(func(amount, number) bool)}
	return map[string][]any{
		"+":  {new(func(number, number) number), new(func(amount, amount) amount)},
		"-":  {new(func(number, number) number), new(func(amount, amount) amount)},
		"*":  {new(func(number, number) number), new(func(amount, number) amount), new(func(number, amount) amount)},
		"/":  {new(func(number, number) number), new(func(amount, number) amount), new(func(amount, amount) number)},
		"==": compares, "!=": compares, "<": compares, "<=": compares, ">": compares, ">=": compares,
	}
}()

// operatorResult is the type of an operation; ok is false when it is not one on numbers and amounts.
func operatorResult(operator string, left, right reflect.Type) (result reflect.Type, ok bool) {
	for _, shape := range shapes[operator] {
		if f := reflect.TypeOf(shape).Elem(); f.In(0) == left && f.In(1) == right {
			return f.Out(0), true
		}
	}
	return nil, false
}

// exactOperators teaches expr the operations' functions.
func exactOperators() []expr.Option {
	var options []expr.Option
	for operator, types := range shapes {
		compute := comparison
		if strings.Contains("+-*/", operator) {
			compute = arithmetic
		}
		options = append(options, expr.Function(operator, compute(operator), types...))
	}
	return options
}

// round keeps places decimals, half to even.
func round(params ...any) (any, error) {
	p := params[1].(int)
	if p < 0 || p > 20 {
		return nil, fmt.Errorf("round keeps 0 to 20 decimals, not %d", p)
	}
	places := int32(p)
	switch x := params[0].(type) {
	case number:
		return number{x.d.RoundBank(places), x.none}, nil
	case amount:
		return amount{x.m.Round(places), x.none}, nil
	}
	return nil, fmt.Errorf("cannot round %T", params[0])
}

func parseNumber(params ...any) (any, error) {
	v, err := model.Parse(model.TypeQuantity, params[0].(string))
	if err != nil {
		return nil, err
	}
	return inside(v), nil
}

// inside is a value as expressions see it.
func inside(v model.Value) any {
	switch v.Type() {
	case model.TypeQuantity:
		q, ok := v.Quantity()
		return number{q.Decimal(), !ok}
	case model.TypeMoney:
		m, ok := v.Money()
		return amount{m, !ok}
	case model.TypeBool:
		return v.True()
	case model.TypeList:
		return v.Items()
	}
	return v.String()
}

// outside is an expression's result as a value of the type it was compiled to.
func outside(result any) (model.Value, error) {
	switch x := result.(type) {
	case string:
		return model.Text(x), nil
	case bool:
		return model.Bool(x), nil
	case []string:
		return model.List(x...), nil
	case number:
		if x.none {
			return model.Empty(model.TypeQuantity), nil
		}
		return model.Parse(model.TypeQuantity, x.d.String())
	case amount:
		if x.none {
			return model.Empty(model.TypeMoney), nil
		}
		return model.MoneyValue(x.m), nil
	case int:
		return model.Int(int64(x)), nil
	}
	return model.Value{}, fmt.Errorf("the expression gave %T", result)
}
