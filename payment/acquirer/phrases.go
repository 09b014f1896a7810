package acquirer

// Phrase is a text for the cardholder, by its id; In has the words.
type Phrase string

// The phrases.
const (
	SayApproved   Phrase = "approved"
	SayPartial    Phrase = "approved-part"
	SayDeclined   Phrase = "declined"
	SayRetry      Phrase = "try-again"
	SayContact    Phrase = "contact-bank"
	SayLater      Phrase = "later"
	SayTerminal   Phrase = "not-here"
	SayCancelled  Phrase = "cancelled"
	SayFunds      Phrase = "funds"
	SayExpired    Phrase = "expired"
	SayWrongPIN   Phrase = "wrong-pin"
	SayLimit      Phrase = "limit"
	SayInsert     Phrase = "insert-and-pin"
	SayPINBlocked Phrase = "pin-blocked"
)

// Languages are those that Phrase.In has, ISO 639-1.
func Languages() []string {
	return []string{"en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ar", "hi", "ja", "zh"}
}

// In returns the words in a language (ISO 639-1), in English when it is none of
// Languages, and "" when the phrase is none.
func (p Phrase) In(language string) string {
	w := phrases[p]
	for i, l := range Languages() {
		if l == language && w[i] != "" {
			return w[i]
		}
	}
	return w[0]
}

// phrases are the words in the order of Languages.
var phrases = map[Phrase][13]string{
	SayApproved:   {"Approved", "Genehmigt", "Approuvé", "Aprobada", "Approvata", "Aprovado", "Goedgekeurd", "Zaakceptowano", "Onaylandı", "تمت الموافقة", "स्वीकृत", "承認されました", "已批准"},
	SayPartial:    {"Approved for a part of the amount", "Für einen Teil des Betrags genehmigt", "Approuvé pour une partie du montant", "Aprobada por una parte del importe", "Approvata per una parte dell'importo", "Aprovado para parte do valor", "Goedgekeurd voor een deel van het bedrag", "Zaakceptowano część kwoty", "Tutarın bir kısmı onaylandı", "تمت الموافقة على جزء من المبلغ", "राशि के एक हिस्से के लिए स्वीकृत", "金額の一部が承認されました", "部分金额已批准"},
	SayDeclined:   {"Declined", "Abgelehnt", "Refusé", "Denegada", "Rifiutata", "Recusado", "Geweigerd", "Odmowa", "Reddedildi", "مرفوضة", "अस्वीकृत", "取引できません", "已拒绝"},
	SayRetry:      {"Please try again or use another card", "Bitte erneut versuchen oder andere Karte verwenden", "Veuillez réessayer ou utiliser une autre carte", "Inténtelo de nuevo o use otra tarjeta", "Riprovare o usare un'altra carta", "Tente novamente ou use outro cartão", "Probeer opnieuw of gebruik een andere kaart", "Spróbuj ponownie lub użyj innej karty", "Tekrar deneyin veya başka kart kullanın", "يرجى المحاولة مرة أخرى أو استخدام بطاقة أخرى", "कृपया फिर से प्रयास करें या दूसरा कार्ड उपयोग करें", "もう一度お試しになるか、別のカードをご利用ください", "请重试或使用其他卡"},
	SayContact:    {"Declined - please contact your bank", "Abgelehnt - bitte wenden Sie sich an Ihre Bank", "Refusé - contactez votre banque", "Denegada - contacte con su banco", "Rifiutata - contattare la propria banca", "Recusado - contacte o seu banco", "Geweigerd - neem contact op met uw bank", "Odmowa - skontaktuj się z bankiem", "Reddedildi - bankanızla görüşün", "مرفوضة - يرجى الاتصال بالبنك", "अस्वीकृत - कृपया अपने बैंक से संपर्क करें", "取引できません - 銀行にお問い合わせください", "已拒绝 - 请联系您的银行"},
	SayLater:      {"Service not available - please try again later", "Dienst nicht verfügbar - bitte später erneut versuchen", "Service indisponible - réessayez plus tard", "Servicio no disponible - inténtelo más tarde", "Servizio non disponibile - riprovare più tardi", "Serviço indisponível - tente mais tarde", "Dienst niet beschikbaar - probeer later opnieuw", "Usługa niedostępna - spróbuj później", "Hizmet kullanılamıyor - daha sonra deneyin", "الخدمة غير متاحة - يرجى المحاولة لاحقاً", "सेवा उपलब्ध नहीं - कृपया बाद में प्रयास करें", "ただいまご利用できません - 後ほどお試しください", "服务不可用 - 请稍后再试"},
	SayTerminal:   {"Not possible at this terminal", "An diesem Terminal nicht möglich", "Impossible sur ce terminal", "No es posible en este terminal", "Non possibile su questo terminale", "Não é possível neste terminal", "Niet mogelijk op deze terminal", "Niemożliwe na tym terminalu", "Bu terminalde yapılamaz", "غير ممكن على هذا الجهاز", "इस टर्मिनल पर संभव नहीं", "この端末ではご利用できません", "此终端无法处理"},
	SayCancelled:  {"Cancelled", "Abgebrochen", "Annulé", "Cancelada", "Annullata", "Cancelado", "Geannuleerd", "Anulowano", "İptal edildi", "تم الإلغاء", "रद्द किया गया", "取り消されました", "已取消"},
	SayFunds:      {"Declined - not sufficient funds", "Abgelehnt - Guthaben nicht ausreichend", "Refusé - provision insuffisante", "Denegada - saldo insuficiente", "Rifiutata - fondi insufficienti", "Recusado - saldo insuficiente", "Geweigerd - onvoldoende saldo", "Odmowa - brak środków", "Reddedildi - yetersiz bakiye", "مرفوضة - الرصيد غير كافٍ", "अस्वीकृत - अपर्याप्त राशि", "残高が不足しています", "已拒绝 - 余额不足"},
	SayExpired:    {"Declined - card expired", "Abgelehnt - Karte abgelaufen", "Refusé - carte expirée", "Denegada - tarjeta caducada", "Rifiutata - carta scaduta", "Recusado - cartão expirado", "Geweigerd - kaart verlopen", "Odmowa - karta nieważna", "Reddedildi - kartın süresi dolmuş", "مرفوضة - انتهت صلاحية البطاقة", "अस्वीकृत - कार्ड की अवधि समाप्त", "カードの有効期限が切れています", "已拒绝 - 卡已过期"},
	SayWrongPIN:   {"Wrong PIN", "PIN falsch", "Code PIN incorrect", "PIN incorrecto", "PIN errato", "PIN incorreto", "Onjuiste pincode", "Błędny PIN", "Hatalı PIN", "الرقم السري غير صحيح", "गलत पिन", "暗証番号が違います", "密码错误"},
	SayLimit:      {"Declined - over the amount limit", "Abgelehnt - Betragsgrenze überschritten", "Refusé - plafond dépassé", "Denegada - límite de importe superado", "Rifiutata - limite di importo superato", "Recusado - limite de valor excedido", "Geweigerd - bedraglimiet overschreden", "Odmowa - przekroczono limit kwoty", "Reddedildi - tutar limiti aşıldı", "مرفوضة - تجاوز حد المبلغ", "अस्वीकृत - राशि सीमा से अधिक", "ご利用限度額を超えています", "已拒绝 - 超出金额限制"},
	SayInsert:     {"Declined - insert the card and enter the PIN, or try later", "Abgelehnt - Karte einstecken und PIN eingeben oder später versuchen", "Refusé - insérez la carte et saisissez le code, ou réessayez plus tard", "Denegada - inserte la tarjeta e introduzca el PIN, o inténtelo más tarde", "Rifiutata - inserire la carta e digitare il PIN, o riprovare più tardi", "Recusado - insira o cartão e digite o PIN, ou tente mais tarde", "Geweigerd - steek de kaart in en voer de pincode in, of probeer later", "Odmowa - włóż kartę i podaj PIN lub spróbuj później", "Reddedildi - kartı takıp PIN girin veya sonra deneyin", "مرفوضة - أدخل البطاقة والرقم السري أو حاول لاحقاً", "अस्वीकृत - कार्ड डालें और पिन दर्ज करें, या बाद में प्रयास करें", "カードを挿入して暗証番号を入力するか、後ほどお試しください", "已拒绝 - 请插卡并输入密码，或稍后再试"},
	SayPINBlocked: {"PIN tries exceeded - please contact your bank", "PIN zu oft falsch - bitte wenden Sie sich an Ihre Bank", "Nombre d'essais dépassé - contactez votre banque", "Intentos de PIN superados - contacte con su banco", "Tentativi PIN esauriti - contattare la propria banca", "Tentativas de PIN excedidas - contacte o seu banco", "Te vaak een onjuiste pincode - neem contact op met uw bank", "Przekroczono liczbę prób PIN - skontaktuj się z bankiem", "PIN deneme hakkı bitti - bankanızla görüşün", "تم تجاوز محاولات الرقم السري - يرجى الاتصال بالبنك", "पिन के प्रयास समाप्त - कृपया अपने बैंक से संपर्क करें", "暗証番号の入力回数を超えました - 銀行にお問い合わせください", "密码次数超限 - 请联系您的银行"},
}
