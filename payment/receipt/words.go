package receipt

import "slices"

// Languages are those that receipts are written in, ISO 639-1; others get
// English.
func Languages() []string { return slices.Clone(languages[:]) }

var languages = [13]string{"en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ar", "hi", "ja", "zh"}

// rightToLeft reports how a language is written.
func rightToLeft(language string) bool { return language == "ar" }

// word is the id of a text on a receipt.
type word string

// in returns the words in a language, else in English; an id that there is no
// text for stands for itself.
func (w word) in(language string) string {
	t, ok := texts[w]
	if !ok {
		return string(w)
	}
	if i := slices.Index(languages[:], language); i >= 0 {
		return t[i]
	}
	return t[0]
}

// texts are the words in the order of Languages. A test finds what is missing.
var texts = map[word][13]string{
	"merchant":           {"Merchant", "Händler", "Commerçant", "Comercio", "Esercente", "Comerciante", "Winkelier", "Sprzedawca", "İşyeri", "التاجر", "व्यापारी", "加盟店", "商户"},
	"terminal":           {"Terminal", "Terminal-Nr.", "Terminal n°", "Terminal n.º", "Terminale", "Terminal nº", "Terminal-ID", "Nr terminala", "Terminal no", "الجهاز", "टर्मिनल", "端末番号", "终端号"},
	"order":              {"Order", "Auftrag", "Commande", "Pedido", "Ordine", "Encomenda", "Bestelling", "Zamówienie", "Sipariş", "الطلب", "ऑर्डर", "注文番号", "订单号"},
	"card":               {"Card", "Karte", "Carte", "Tarjeta", "Carta", "Cartão", "Kaart", "Karta", "Kart", "البطاقة", "कार्ड", "カード番号", "卡号"},
	"application":        {"Application", "Anwendung", "Application carte", "Aplicación", "Applicazione", "Aplicação", "Toepassing", "Aplikacja", "Uygulama", "التطبيق", "एप्लिकेशन", "アプリケーション", "应用"},
	"entry":              {"Entry", "Eingabe", "Lecture", "Lectura", "Lettura", "Leitura", "Invoer", "Odczyt", "Okuma", "طريقة القراءة", "प्रविष्टि", "読取方法", "读卡方式"},
	"verification":       {"Verification", "Prüfung", "Vérification", "Verificación", "Verifica", "Verificação", "Verificatie", "Weryfikacja", "Doğrulama", "التحقق", "सत्यापन", "本人確認", "验证"},
	"authorization":      {"Authorization", "Genehmigung", "Autorisation", "Autorización", "Autorizzazione", "Autorização", "Autorisatie", "Autoryzacja", "Onay kodu", "رقم التفويض", "प्राधिकरण", "承認番号", "授权码"},
	"response":           {"Response", "Antwort", "Réponse", "Respuesta", "Risposta", "Resposta", "Antwoord", "Odpowiedź", "Yanıt", "الاستجابة", "प्रतिक्रिया", "応答コード", "应答码"},
	"reference":          {"Reference", "Referenz", "Référence", "Referencia", "Riferimento", "Referência", "Referentie", "Nr ref.", "Referans", "المرجع", "संदर्भ", "照会番号", "参考号"},
	"trace":              {"Trace", "Trace-Nr.", "N° de trace", "N.º de traza", "N. traccia", "N.º de rastreio", "Volgnummer", "Nr śladu", "İz no", "رقم التتبع", "ट्रेस", "伝票番号", "流水号"},
	"signature":          {"Signature", "Unterschrift", "Signature du client", "Firma", "Firma del cliente", "Assinatura", "Handtekening", "Podpis", "İmza", "التوقيع", "हस्ताक्षर", "ご署名", "签名"},
	"merchant copy":      {"MERCHANT COPY", "HÄNDLERBELEG", "EXEMPLAIRE COMMERÇANT", "COPIA COMERCIO", "COPIA ESERCENTE", "CÓPIA COMERCIANTE", "KOPIE WINKELIER", "KOPIA SPRZEDAWCY", "İŞYERİ NÜSHASI", "نسخة التاجر", "व्यापारी प्रति", "加盟店控え", "商户存根"},
	"cardholder copy":    {"CARDHOLDER COPY", "KUNDENBELEG", "EXEMPLAIRE CLIENT", "COPIA CLIENTE", "COPIA CLIENTE", "CÓPIA CLIENTE", "KOPIE KLANT", "KOPIA KLIENTA", "MÜŞTERİ NÜSHASI", "نسخة العميل", "ग्राहक प्रति", "お客様控え", "持卡人存根"},
	"cash":               {"OF WHICH IN CASH", "DAVON BARGELD", "DONT ESPÈCES", "DEL CUAL EFECTIVO", "DI CUI CONTANTI", "DO QUAL EM DINHEIRO", "WAARVAN CONTANT", "W TYM GOTÓWKA", "BUNUN NAKDİ", "منها نقداً", "जिसमें नकद", "うち現金", "其中现金"},
	"tip":                {"OF WHICH TIP", "DAVON TRINKGELD", "DONT POURBOIRE", "DEL CUAL PROPINA", "DI CUI MANCIA", "DO QUAL GORJETA", "WAARVAN FOOI", "W TYM NAPIWEK", "BUNUN BAHŞİŞİ", "منها إكرامية", "जिसमें टिप", "うちチップ", "其中小费"},
	"available":          {"AVAILABLE", "VERFÜGBAR", "DISPONIBLE", "SALDO DISPONIBLE", "DISPONIBILE", "DISPONÍVEL", "BESCHIKBAAR", "DOSTĘPNE", "KULLANILABİLİR", "الرصيد المتاح", "उपलब्ध राशि", "利用可能残高", "可用余额"},
	"sale":               {"SALE", "ZAHLUNG", "ACHAT", "VENTA", "ACQUISTO", "COMPRA", "BETALING", "SPRZEDAŻ", "SATIŞ", "عملية شراء", "बिक्री", "売上", "消费"},
	"refund":             {"REFUND", "GUTSCHRIFT", "REMBOURSEMENT", "DEVOLUCIÓN", "RIMBORSO", "REEMBOLSO", "TERUGBETALING", "ZWROT", "İADE", "استرداد", "धन वापसी", "返金", "退款"},
	"void":               {"VOID", "STORNO", "ANNULATION", "ANULACIÓN", "STORNO OPERAZIONE", "ANULAÇÃO", "ANNULERING", "UNIEWAŻNIENIE", "İPTAL", "إلغاء", "निरस्त", "取消", "撤销"},
	"preauth":            {"PREAUTH", "RESERVIERUNG", "PRÉAUTORISATION", "PREAUTORIZACIÓN", "PREAUTORIZZAZIONE", "PRÉ-AUTORIZAÇÃO", "RESERVERING", "PREAUTORYZACJA", "ÖN PROVİZYON", "تفويض مسبق", "पूर्व-प्राधिकरण", "仮売上", "预授权"},
	"completion":         {"COMPLETION", "BUCHUNG DER RESERVIERUNG", "CONFIRMATION DE PRÉAUTORISATION", "CONFIRMACIÓN", "CONFERMA", "CONFIRMAÇÃO", "AFRONDING", "DOPEŁNIENIE", "PROVİZYON KAPAMA", "إتمام التفويض", "पूर्णता", "売上確定", "预授权完成"},
	"incremental":        {"INCREASE OF PRE-AUTHORISATION", "ERHÖHUNG DER RESERVIERUNG", "MAJORATION DE PRÉAUTORISATION", "AMPLIACIÓN DE PREAUTORIZACIÓN", "INCREMENTO PREAUTORIZZAZIONE", "REFORÇO DE PRÉ-AUTORIZAÇÃO", "VERHOGING RESERVERING", "ZWIĘKSZENIE PREAUTORYZACJI", "ÖN PROVİZYON ARTIRIMI", "زيادة التفويض المسبق", "पूर्व-प्राधिकरण में वृद्धि", "仮売上の増額", "预授权追加"},
	"cashback":           {"CASHBACK", "ZAHLUNG MIT BARGELD", "ACHAT AVEC ESPÈCES", "COMPRA CON EFECTIVO", "ACQUISTO CON CONTANTI", "COMPRA COM DINHEIRO", "BETALING MET CONTANT", "SPRZEDAŻ Z WYPŁATĄ", "NAKİT AVANSLI SATIŞ", "شراء مع نقد", "नकद वापसी के साथ बिक्री", "現金付売上", "消费并取现"},
	"balance":            {"BALANCE", "KONTOSTAND", "SOLDE", "SALDO", "SALDO CONTO", "SALDO DA CONTA", "SALDO-OPVRAGING", "SALDO KONTA", "BAKİYE", "الاستعلام عن الرصيد", "शेष राशि", "残高照会", "余额查询"},
	"verification of":    {"VERIFICATION", "KARTENPRÜFUNG", "VÉRIFICATION DE CARTE", "VERIFICACIÓN DE TARJETA", "VERIFICA CARTA", "VERIFICAÇÃO DE CARTÃO", "KAARTCONTROLE", "WERYFIKACJA KARTY", "KART DOĞRULAMA", "التحقق من البطاقة", "कार्ड सत्यापन", "カード確認", "卡片验证"},
	"APPROVED":           {"APPROVED", "GENEHMIGT", "APPROUVÉ", "APROBADA", "APPROVATA", "APROVADO", "GOEDGEKEURD", "ZAAKCEPTOWANO", "ONAYLANDI", "تمت الموافقة", "स्वीकृत", "承認", "交易成功"},
	"DECLINED":           {"DECLINED", "ABGELEHNT", "REFUSÉ", "DENEGADA", "RIFIUTATA", "RECUSADO", "GEWEIGERD", "ODMOWA", "REDDEDİLDİ", "مرفوضة", "अस्वीकृत", "取引不可", "交易失败"},
	"CANCELLED":          {"CANCELLED", "ABGEBROCHEN", "ANNULÉ", "CANCELADA", "ANNULLATA", "CANCELADO", "GEANNULEERD", "ANULOWANO", "İPTAL EDİLDİ", "تم الإلغاء", "रद्द", "中止", "已取消"},
	"UNKNOWN":            {"OUTCOME UNKNOWN: DO NOT PAY AGAIN", "AUSGANG UNBEKANNT: NICHT ERNEUT ZAHLEN", "RÉSULTAT INCONNU : NE PAS REPAYER", "RESULTADO DESCONOCIDO: NO PAGUE DE NUEVO", "ESITO SCONOSCIUTO: NON PAGARE DI NUOVO", "RESULTADO DESCONHECIDO: NÃO PAGUE NOVAMENTE", "UITKOMST ONBEKEND: NIET OPNIEUW BETALEN", "WYNIK NIEZNANY: NIE PŁAĆ PONOWNIE", "SONUÇ BİLİNMİYOR: TEKRAR ÖDEMEYİN", "النتيجة غير معروفة: لا تدفع مرة أخرى", "परिणाम अज्ञात: दोबारा भुगतान न करें", "結果不明: 再度お支払いにならないでください", "结果未知：请勿重复付款"},
	"reversed":           {"REVERSED: NOTHING WAS CHARGED", "STORNIERT: NICHTS WURDE BELASTET", "ANNULÉ : RIEN N'A ÉTÉ DÉBITÉ", "ANULADA: NO SE HA COBRADO NADA", "STORNATA: NESSUN ADDEBITO", "ESTORNADO: NADA FOI COBRADO", "TERUGGEDRAAID: NIETS AFGESCHREVEN", "COFNIĘTO: NIC NIE POBRANO", "GERİ ALINDI: TAHSİLAT YAPILMADI", "تم العكس: لم يُخصم شيء", "उलट दिया गया: कुछ नहीं काटा गया", "取消済: 請求はありません", "已冲正：未扣款"},
	"chip":               {"chip", "Chip", "puce", "chip (contacto)", "chip a contatto", "chip de contacto", "chip (contact)", "czip", "çip", "شريحة", "चिप", "ICチップ", "芯片"},
	"contactless":        {"contactless", "kontaktlos", "sans contact", "sin contacto", "senza contatto", "sem contacto", "contactloos", "zbliżeniowo", "temassız", "بدون تلامس", "संपर्क रहित", "非接触", "非接触式"},
	"magnetic stripe":    {"magnetic stripe", "Magnetstreifen", "piste magnétique", "banda magnética", "banda magnetica", "tarja magnética", "magneetstrip", "pasek magnetyczny", "manyetik şerit", "شريط مغناطيسي", "चुंबकीय पट्टी", "磁気ストライプ", "磁条"},
	"fallback":           {"magnetic stripe, chip failed", "Magnetstreifen, Chip defekt", "piste, puce défaillante", "banda, fallo del chip", "banda, chip guasto", "tarja, falha do chip", "magneetstrip, chip defect", "pasek, błąd czipa", "şerit, çip hatası", "شريط، تعذرت الشريحة", "पट्टी, चिप विफल", "磁気 (IC不良)", "磁条（芯片故障）"},
	"manual":             {"keyed", "manuell", "saisie manuelle", "manual", "digitata", "digitado", "handmatig", "ręcznie", "elle giriş", "إدخال يدوي", "हाथ से दर्ज", "手入力", "手工输入"},
	"offline":            {"offline", "ohne Bank genehmigt", "hors ligne", "sin conexión", "non in linea", "fora de linha", "zonder verbinding", "bez połączenia", "çevrimdışı", "دون اتصال", "ऑफ़लाइन", "オフライン", "脱机"},
	"PIN VERIFIED":       {"PIN VERIFIED", "PIN GEPRÜFT", "CODE PIN VÉRIFIÉ", "PIN VERIFICADO", "PIN VERIFICATO", "PIN CONFIRMADO", "PINCODE GECONTROLEERD", "PIN SPRAWDZONY", "PIN DOĞRULANDI", "تم التحقق من الرقم السري", "पिन सत्यापित", "暗証番号確認済", "密码已验证"},
	"PIN ENTERED":        {"PIN ENTERED", "PIN EINGEGEBEN", "CODE PIN SAISI", "PIN INTRODUCIDO", "PIN DIGITATO", "PIN INTRODUZIDO", "PINCODE INGEVOERD", "PIN WPROWADZONY", "PIN GİRİLDİ", "تم إدخال الرقم السري", "पिन दर्ज किया गया", "暗証番号入力済", "已输入密码"},
	"PIN AND SIGNATURE":  {"PIN VERIFIED, SIGNATURE", "PIN GEPRÜFT, UNTERSCHRIFT", "CODE PIN VÉRIFIÉ, SIGNATURE", "PIN VERIFICADO, FIRMA", "PIN VERIFICATO, FIRMA", "PIN CONFIRMADO, ASSINATURA", "PINCODE GECONTROLEERD, HANDTEKENING", "PIN SPRAWDZONY, PODPIS", "PIN DOĞRULANDI, İMZA", "تم التحقق من الرقم السري، توقيع", "पिन सत्यापित, हस्ताक्षर", "暗証番号確認済・署名", "密码已验证，签名"},
	"SIGNATURE":          {"SIGNATURE", "UNTERSCHRIFT", "SIGNATURE REQUISE", "FIRMA", "FIRMA RICHIESTA", "ASSINATURA", "HANDTEKENING", "PODPIS", "İMZA", "توقيع", "हस्ताक्षर", "署名", "签名"},
	"NO VERIFICATION":    {"NO VERIFICATION", "KEINE PRÜFUNG", "SANS VÉRIFICATION", "SIN VERIFICACIÓN", "SENZA VERIFICA", "SEM VERIFICAÇÃO", "GEEN VERIFICATIE", "BEZ WERYFIKACJI", "DOĞRULAMA YOK", "بدون تحقق", "कोई सत्यापन नहीं", "本人確認なし", "免验证"},
	"NOT VERIFIED":       {"NOT VERIFIED", "NICHT GEPRÜFT", "NON VÉRIFIÉ", "NO VERIFICADO", "NON VERIFICATO", "NÃO VERIFICADO", "NIET GEVERIFIEERD", "NIE ZWERYFIKOWANO", "DOĞRULANMADI", "لم يتم التحقق", "सत्यापित नहीं", "本人確認未了", "未验证"},
	"VERIFIED BY DEVICE": {"VERIFIED BY DEVICE", "AUF DEM GERÄT GEPRÜFT", "VÉRIFIÉ PAR L'APPAREIL", "VERIFICADO EN EL DISPOSITIVO", "VERIFICATO DAL DISPOSITIVO", "VERIFICADO NO DISPOSITIVO", "OP APPARAAT GEVERIFIEERD", "ZWERYFIKOWANO NA URZĄDZENIU", "CİHAZDA DOĞRULANDI", "تم التحقق على الجهاز", "डिवाइस पर सत्यापित", "端末で本人確認済", "设备已验证"},
}
