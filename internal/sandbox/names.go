package sandbox

import (
	"fmt"
	"strings"
)

// plainNames and unusualNames are invented companies. The second are those that break software.
var (
	plainNames = []string{
		"Harbour Dental Ltd", "Kestrel Logistics Limited", "Northgate Plumbing Ltd", "Willow Accounting LLP", "Pennine Outdoor plc",
		"Redbrick Lettings Limited", "Tidewater Marine Ltd", "Copperfield Legal LLP", "Saltmarsh Brewery Ltd", "Oakhurst School",
		"Fenland Farms Limited", "Brightwater Clinic", "Ironbridge Castings Ltd", "Larkspur Care Homes Ltd", "Moorland Vets",
		"Quayside Architects Limited", "Stonecross Surveyors Ltd", "Ashdown Print Ltd", "Greyfriars Trust", "Hollybank Nursery",
	}
	unusualNames = []string{
		"Smith & Sons Ltd", "Müller Maschinenbau GmbH", "Bäckerei Schröder GmbH & Co. KG", "O'Brien's Joinery Ltd", `"The Old Forge" Inns Ltd`,
		"株式会社さくら工業", "Żółta Łódź Sp. z o.o.", "Ελληνικά Ελαιόλαδα ΑΕ", "Кедр Мебель", "مخبز النخيل", "Société Générée de l'Étang SARL",
		"Núñez & Peña S.L.", "Ångström Ångteknik AB", "Þór Fisk ehf.", "A/S Nordhavn & Co", "3 Bears <Nursery> Ltd", "İstanbul Çay Evi",
		"החווה הירוקה", "Café Zoë, Ltd.", "D.D.D. Dachdecker (Nord) GmbH", "100% Clean Ltd", "Le Goût d’Alsace SARL", "Peña\u0301 Studio", "C:\\Works Ltd",
	}
	nameFirst = []string{"Amber", "Beacon", "Cedar", "Dovecote", "Elm", "Foxglove", "Granite", "Heron", "Ivy", "Juniper", "Kingfisher", "Linden", "Maple",
		"Nettle", "Osprey", "Poplar", "Quarry", "Rowan", "Swift", "Thistle", "Umber", "Valley", "Wharf", "Yew"}
	nameThen = []string{"Bakery", "Builders", "Clinic", "Couriers", "Design", "Electrical", "Estates", "Foods", "Garages", "Hotels", "Insurance", "Law",
		"Motors", "Optics", "Pharmacy", "Roofing", "Schools", "Textiles", "Travel", "Windows"}
	nameForms = []string{"Ltd", "Limited", "LLP", "plc", "Group Ltd", "& Partners LLP"}

	firstNames = []string{"Aoife", "Björn", "Chloé", "Dai", "Emeka", "Fatima", "Giulia", "Hana", "Ivan", "José", "Kirsty", "Ling", "Mary-Ann", "Nikos", "Olu", "Priya"}
	lastNames  = []string{"Adeyemi", "Brown", "D'Souza", "Evans", "Fernández", "García", "Hughes", "Ito", "Jones", "Kowalska", "Le Roux", "MacLeod", "Nguyễn", "O'Neill", "Patel", "Weiß"}
	streets    = []struct{ line1, city, zip string }{
		{"4 Quay Road", "Hull", "HU1 2AB"}, {"Königstraße 7", "Dresden", "01067"}, {"Unit 3, The Maltings", "Norwich", "NR1 1AA"}, {"12b High Street", "Ayr", "KA7 1AA"},
		{"Flat 2/1, 88 Byres Road", "Glasgow", "G12 8AA"}, {"The Old Rectory", "Llandudno", "LL30 1AB"}, {"1 Harbour Approach", "St. Peter Port", "GY1 1AA"},
	}
)

// nameOf is the i-th company's name: first the invented ones, every second one unusual, then made-up ones that never
// repeat.
func nameOf(i int) (name string, unusual bool) {
	switch half := i / 2; {
	case i%2 == 1 && half < len(unusualNames):
		return unusualNames[half], true
	case i%2 == 0 && half < len(plainNames):
		return plainNames[half], false
	}
	n := i - len(plainNames)
	first, n := nameFirst[n%len(nameFirst)], n/len(nameFirst)
	then, n := nameThen[n%len(nameThen)], n/len(nameThen)
	form, n := nameForms[n%len(nameForms)], n/len(nameForms)
	if n > 0 {
		return fmt.Sprintf("%s %s %d %s", first, then, n+1, form), false
	}
	return fmt.Sprintf("%s %s %s", first, then, form), false
}

// otherSpelling is a company's name as somebody else would type it: another way to write the legal form or "and".
func otherSpelling(name string) string {
	for _, swap := range [][2]string{{" Ltd", " Limited"}, {" Limited", " Ltd."}, {" & ", " and "}, {" plc", " PLC"}, {" GmbH", " G.m.b.H."}} {
		if strings.Contains(name, swap[0]) {
			return strings.Replace(name, swap[0], swap[1], 1)
		}
	}
	return name
}

// slug is what of a name can stand in host names and identifiers, at most 14 letters.
func slug(name string) string {
	kept := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	if kept == "" {
		return "customer"
	}
	return kept[:min(len(kept), 14)]
}
