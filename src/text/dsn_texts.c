/* What reports say to people, in each language; UTF-8. */
#include "text/dsn_texts.h"

/* clang-format off */
static const struct dsn_texts english = {
	.head = "This is the mail system at {host} with news of a message that came from your address on {date}.",
	.head_with_id = "This is the mail system at {host} with news of a message that came from your address on {date} and has the queue id {id}.",
	.mixed = "This is what became of it.",
	.summaries = {
		[DSN_FAILED] = "It could not be delivered as shown below, and will not be tried again.",
		[DSN_DELAYED] = "It could not be delivered yet, as shown below. Delivery will be tried again; there is no need to send the message a second time.",
		[DSN_RELAYED] = "It was passed on to mail systems that do not confirm delivery. There may be no further report.",
		[DSN_EXPANDED] = "It was passed on to more than one address. There may be no further report.",
		[DSN_DELIVERED] = "It was delivered.",
	},
	.outcomes = {
		[DSN_FAILED] = "not delivered",
		[DSN_DELAYED] = "not delivered yet",
		[DSN_RELAYED] = "passed on",
		[DSN_EXPANDED] = "passed on to a list of addresses",
		[DSN_DELIVERED] = "delivered",
	},
	.sent_to = "sent to",
	.reason = "The reason:",
	.answered = "{host} answered:",
	.other_answered = "The other server answered:",
	.next_try = "The next try is at {date}.",
	.until = "Delivery will be tried until {date}.",
	.more_one = "and 1 more recipient. The next part of this report has all of them.",
	.more_many = "and {count} more recipients. The next part of this report has all of them.",
	.for_programs = "The next part of this report is for programs.",
	.with_message = "The next part of this report is for programs. Behind it is your message.",
	.with_header = "The next part of this report is for programs. Behind it is the header of your message.",
	.with_beginning = "The next part of this report is for programs. Behind it is the beginning of your message's header.",
	.advice = {
		[ADVICE_SENDER] = "Your own address as the sender was not accepted. Please check it in the settings of your mail program.",
		[ADVICE_NO_MAIL] = "The domain of this address takes no mail at all. Please check the address for mistakes.",
		[ADVICE_NO_DOMAIN] = "The domain of this address does not exist or has no mail server. Please check the part behind the @ for mistakes.",
		[ADVICE_ADDRESS] = "Please check the address for mistakes, or ask the person for the present address.",
		[ADVICE_FULL] = "The mailbox is full. Please try again later, or tell the person in another way.",
		[ADVICE_LARGE_FOR_MAILBOX] = "The message is too large for this mailbox. Please send a smaller one, or share large files in another way.",
		[ADVICE_MAILBOX] = "The mailbox takes no mail now. Please tell the person in another way.",
		[ADVICE_LARGE] = "The message is too large. Please send a smaller one, or share large files in another way.",
		[ADVICE_SYSTEM] = "The other mail system has a problem. Please try again later.",
		[ADVICE_LOOP] = "The mail systems hand messages for this address back and forth. Please show this report to the people who run the mail system of that domain.",
		[ADVICE_NETWORK] = "The other mail system could not be reached. If the address is right, please try again later.",
		[ADVICE_PROTOCOL] = "The two mail systems did not understand each other. Please show this report to your mail administrator.",
		[ADVICE_MEDIA] = "The other mail system can't take a message of this kind. Please send it in a simpler form.",
		[ADVICE_POLICY] = "The other mail system's rules do not permit this message. Please tell the person in another way, and show this report to your mail administrator.",
		[ADVICE_GENERAL] = "Please check the address, and try again later. If it fails again, show this report to your mail administrator.",
	},
};

static const struct dsn_texts german = {
	.head = "Dies ist das Mailsystem {host} mit Neuigkeiten über eine Nachricht, die am {date} von Ihrer Adresse kam.",
	.head_with_id = "Dies ist das Mailsystem {host} mit Neuigkeiten über eine Nachricht, die am {date} von Ihrer Adresse kam und die Nummer {id} hat.",
	.mixed = "Das ist aus ihr geworden.",
	.summaries = {
		[DSN_FAILED] = "Sie konnte, wie unten angegeben, nicht zugestellt werden, und es wird nicht noch einmal versucht.",
		[DSN_DELAYED] = "Sie konnte, wie unten angegeben, noch nicht zugestellt werden. Es wird weiter versucht; Sie brauchen die Nachricht nicht noch einmal zu senden.",
		[DSN_RELAYED] = "Sie wurde an Mailsysteme weitergegeben, die eine Zustellung nicht bestätigen. Vielleicht kommt kein weiterer Bericht.",
		[DSN_EXPANDED] = "Sie wurde an mehrere Adressen weitergegeben. Vielleicht kommt kein weiterer Bericht.",
		[DSN_DELIVERED] = "Sie wurde zugestellt.",
	},
	.outcomes = {
		[DSN_FAILED] = "nicht zugestellt",
		[DSN_DELAYED] = "noch nicht zugestellt",
		[DSN_RELAYED] = "weitergegeben",
		[DSN_EXPANDED] = "an eine Liste von Adressen weitergegeben",
		[DSN_DELIVERED] = "zugestellt",
	},
	.sent_to = "gesendet an",
	.reason = "Der Grund:",
	.answered = "{host} antwortete:",
	.other_answered = "Der andere Server antwortete:",
	.next_try = "Der nächste Versuch ist am {date}.",
	.until = "Es wird versucht bis {date}.",
	.more_one = "und 1 weiterer Empfänger. Der nächste Teil dieses Berichts nennt alle.",
	.more_many = "und {count} weitere Empfänger. Der nächste Teil dieses Berichts nennt alle.",
	.for_programs = "Der nächste Teil dieses Berichts ist für Programme.",
	.with_message = "Der nächste Teil dieses Berichts ist für Programme. Dahinter steht Ihre Nachricht.",
	.with_header = "Der nächste Teil dieses Berichts ist für Programme. Dahinter stehen die Kopfzeilen Ihrer Nachricht.",
	.with_beginning = "Der nächste Teil dieses Berichts ist für Programme. Dahinter steht der Anfang der Kopfzeilen Ihrer Nachricht.",
	.advice = {
		[ADVICE_SENDER] = "Ihre eigene Adresse wurde als Absender nicht angenommen. Bitte prüfen Sie sie in den Einstellungen Ihres Mailprogramms.",
		[ADVICE_NO_MAIL] = "Die Domain dieser Adresse nimmt keine Mail an. Bitte prüfen Sie die Adresse auf Schreibfehler.",
		[ADVICE_NO_DOMAIN] = "Die Domain dieser Adresse gibt es nicht, oder sie hat keinen Mailserver. Bitte prüfen Sie den Teil hinter dem @ auf Schreibfehler.",
		[ADVICE_ADDRESS] = "Bitte prüfen Sie die Adresse auf Schreibfehler, oder fragen Sie nach der jetzigen Adresse.",
		[ADVICE_FULL] = "Das Postfach ist voll. Bitte versuchen Sie es später noch einmal, oder melden Sie sich auf einem anderen Weg.",
		[ADVICE_LARGE_FOR_MAILBOX] = "Die Nachricht ist zu groß für dieses Postfach. Bitte senden Sie eine kleinere, oder geben Sie große Dateien anders weiter.",
		[ADVICE_MAILBOX] = "Das Postfach nimmt zurzeit keine Mail an. Bitte melden Sie sich auf einem anderen Weg.",
		[ADVICE_LARGE] = "Die Nachricht ist zu groß. Bitte senden Sie eine kleinere, oder geben Sie große Dateien anders weiter.",
		[ADVICE_SYSTEM] = "Das andere Mailsystem ist gestört. Bitte versuchen Sie es später noch einmal.",
		[ADVICE_LOOP] = "Die Mailsysteme reichen Nachrichten für diese Adresse im Kreis herum. Bitte zeigen Sie diesen Bericht denen, die das Mailsystem dieser Domain betreiben.",
		[ADVICE_NETWORK] = "Das andere Mailsystem war nicht zu erreichen. Wenn die Adresse stimmt, versuchen Sie es bitte später noch einmal.",
		[ADVICE_PROTOCOL] = "Die beiden Mailsysteme haben einander nicht verstanden. Bitte zeigen Sie diesen Bericht Ihrem Administrator.",
		[ADVICE_MEDIA] = "Das andere Mailsystem kann eine Nachricht dieser Art nicht annehmen. Bitte senden Sie sie in einer einfacheren Form.",
		[ADVICE_POLICY] = "Die Regeln des anderen Mailsystems lassen diese Nachricht nicht zu. Bitte melden Sie sich auf einem anderen Weg, und zeigen Sie diesen Bericht Ihrem Administrator.",
		[ADVICE_GENERAL] = "Bitte prüfen Sie die Adresse, und versuchen Sie es später noch einmal. Gelingt es wieder nicht, zeigen Sie diesen Bericht Ihrem Administrator.",
	},
};

static const struct dsn_texts french = {
	.head = "Ceci est le système de messagerie {host}, au sujet d’un message venu de votre adresse le {date}.",
	.head_with_id = "Ceci est le système de messagerie {host}, au sujet d’un message venu de votre adresse le {date}, qui porte le numéro {id}.",
	.mixed = "Voici ce qu’il est devenu.",
	.summaries = {
		[DSN_FAILED] = "Il n’a pas pu être remis, comme indiqué ci-dessous, et il n’y aura pas d’autre essai.",
		[DSN_DELAYED] = "Il n’a pas encore pu être remis, comme indiqué ci-dessous. D’autres essais suivront ; il est inutile d’envoyer le message une seconde fois.",
		[DSN_RELAYED] = "Il a été transmis à des systèmes qui ne confirment pas la remise. Il se peut qu’aucun autre rapport ne suive.",
		[DSN_EXPANDED] = "Il a été transmis à plusieurs adresses. Il se peut qu’aucun autre rapport ne suive.",
		[DSN_DELIVERED] = "Il a été remis.",
	},
	.outcomes = {
		[DSN_FAILED] = "non remis",
		[DSN_DELAYED] = "pas encore remis",
		[DSN_RELAYED] = "transmis",
		[DSN_EXPANDED] = "transmis à une liste d’adresses",
		[DSN_DELIVERED] = "remis",
	},
	.sent_to = "envoyé à",
	.reason = "La raison :",
	.answered = "{host} a répondu :",
	.other_answered = "L’autre serveur a répondu :",
	.next_try = "Le prochain essai aura lieu le {date}.",
	.until = "Les essais continueront jusqu’au {date}.",
	.more_one = "et 1 autre destinataire. La partie suivante de ce rapport les nomme tous.",
	.more_many = "et {count} autres destinataires. La partie suivante de ce rapport les nomme tous.",
	.for_programs = "La partie suivante de ce rapport est destinée aux programmes.",
	.with_message = "La partie suivante de ce rapport est destinée aux programmes. Votre message se trouve derrière.",
	.with_header = "La partie suivante de ce rapport est destinée aux programmes. L’en-tête de votre message se trouve derrière.",
	.with_beginning = "La partie suivante de ce rapport est destinée aux programmes. Le début de l’en-tête de votre message se trouve derrière.",
	.advice = {
		[ADVICE_SENDER] = "Votre propre adresse d’expéditeur n’a pas été acceptée. Veuillez la vérifier dans les réglages de votre logiciel de messagerie.",
		[ADVICE_NO_MAIL] = "Le domaine de cette adresse ne reçoit aucun courrier. Veuillez vérifier l’adresse.",
		[ADVICE_NO_DOMAIN] = "Le domaine de cette adresse n’existe pas ou n’a pas de serveur de messagerie. Veuillez vérifier la partie qui suit le @.",
		[ADVICE_ADDRESS] = "Veuillez vérifier l’adresse, ou demander à la personne son adresse actuelle.",
		[ADVICE_FULL] = "La boîte aux lettres est pleine. Veuillez réessayer plus tard, ou joindre la personne autrement.",
		[ADVICE_LARGE_FOR_MAILBOX] = "Le message est trop grand pour cette boîte aux lettres. Veuillez en envoyer un plus petit, ou partager les grands fichiers autrement.",
		[ADVICE_MAILBOX] = "La boîte aux lettres ne reçoit pas de courrier en ce moment. Veuillez joindre la personne autrement.",
		[ADVICE_LARGE] = "Le message est trop grand. Veuillez en envoyer un plus petit, ou partager les grands fichiers autrement.",
		[ADVICE_SYSTEM] = "L’autre système de messagerie est en panne. Veuillez réessayer plus tard.",
		[ADVICE_LOOP] = "Les systèmes de messagerie se renvoient les messages pour cette adresse. Veuillez montrer ce rapport à ceux qui gèrent la messagerie de ce domaine.",
		[ADVICE_NETWORK] = "L’autre système de messagerie n’a pas pu être joint. Si l’adresse est juste, veuillez réessayer plus tard.",
		[ADVICE_PROTOCOL] = "Les deux systèmes de messagerie ne se sont pas compris. Veuillez montrer ce rapport à votre administrateur.",
		[ADVICE_MEDIA] = "L’autre système de messagerie ne peut pas recevoir un message de ce genre. Veuillez l’envoyer sous une forme plus simple.",
		[ADVICE_POLICY] = "Les règles de l’autre système de messagerie n’admettent pas ce message. Veuillez joindre la personne autrement, et montrer ce rapport à votre administrateur.",
		[ADVICE_GENERAL] = "Veuillez vérifier l’adresse et réessayer plus tard. En cas de nouvel échec, montrez ce rapport à votre administrateur.",
	},
};

static const struct dsn_texts spanish = {
	.head = "Este es el sistema de correo {host}, con noticias de un mensaje que llegó desde su dirección el {date}.",
	.head_with_id = "Este es el sistema de correo {host}, con noticias de un mensaje que llegó desde su dirección el {date} y tiene el número {id}.",
	.mixed = "Esto es lo que ha sido de él.",
	.summaries = {
		[DSN_FAILED] = "No se pudo entregar, como se indica abajo, y no se intentará de nuevo.",
		[DSN_DELAYED] = "Todavía no se pudo entregar, como se indica abajo. Se seguirá intentando; no hace falta enviar el mensaje otra vez.",
		[DSN_RELAYED] = "Se pasó a sistemas que no confirman la entrega. Es posible que no haya más informes.",
		[DSN_EXPANDED] = "Se pasó a varias direcciones. Es posible que no haya más informes.",
		[DSN_DELIVERED] = "Se ha entregado.",
	},
	.outcomes = {
		[DSN_FAILED] = "no entregado",
		[DSN_DELAYED] = "todavía no entregado",
		[DSN_RELAYED] = "pasado a otro sistema",
		[DSN_EXPANDED] = "pasado a una lista de direcciones",
		[DSN_DELIVERED] = "entregado",
	},
	.sent_to = "enviado a",
	.reason = "El motivo:",
	.answered = "{host} respondió:",
	.other_answered = "El otro servidor respondió:",
	.next_try = "El próximo intento será el {date}.",
	.until = "Se intentará hasta el {date}.",
	.more_one = "y 1 destinatario más. La parte siguiente de este informe los nombra a todos.",
	.more_many = "y {count} destinatarios más. La parte siguiente de este informe los nombra a todos.",
	.for_programs = "La parte siguiente de este informe es para programas.",
	.with_message = "La parte siguiente de este informe es para programas. Detrás está su mensaje.",
	.with_header = "La parte siguiente de este informe es para programas. Detrás está la cabecera de su mensaje.",
	.with_beginning = "La parte siguiente de este informe es para programas. Detrás está el comienzo de la cabecera de su mensaje.",
	.advice = {
		[ADVICE_SENDER] = "Su propia dirección de remitente no fue aceptada. Compruébela en los ajustes de su programa de correo.",
		[ADVICE_NO_MAIL] = "El dominio de esta dirección no recibe correo. Compruebe la dirección, por favor.",
		[ADVICE_NO_DOMAIN] = "El dominio de esta dirección no existe o no tiene servidor de correo. Compruebe la parte que sigue a la @, por favor.",
		[ADVICE_ADDRESS] = "Compruebe la dirección, por favor, o pregunte a la persona por la actual.",
		[ADVICE_FULL] = "El buzón está lleno. Inténtelo más tarde, o avise a la persona de otra manera.",
		[ADVICE_LARGE_FOR_MAILBOX] = "El mensaje es demasiado grande para este buzón. Envíe uno más pequeño, o comparta los archivos grandes de otra manera.",
		[ADVICE_MAILBOX] = "El buzón no recibe correo en este momento. Avise a la persona de otra manera.",
		[ADVICE_LARGE] = "El mensaje es demasiado grande. Envíe uno más pequeño, o comparta los archivos grandes de otra manera.",
		[ADVICE_SYSTEM] = "El otro sistema de correo tiene un problema. Inténtelo más tarde.",
		[ADVICE_LOOP] = "Los sistemas de correo se pasan unos a otros los mensajes para esta dirección. Muestre este informe a quienes administran el correo de ese dominio.",
		[ADVICE_NETWORK] = "No se pudo llegar al otro sistema de correo. Si la dirección es correcta, inténtelo más tarde.",
		[ADVICE_PROTOCOL] = "Los dos sistemas de correo no se entendieron. Muestre este informe a su administrador.",
		[ADVICE_MEDIA] = "El otro sistema de correo no puede recibir un mensaje de esta clase. Envíelo en una forma más sencilla.",
		[ADVICE_POLICY] = "Las reglas del otro sistema de correo no permiten este mensaje. Avise a la persona de otra manera, y muestre este informe a su administrador.",
		[ADVICE_GENERAL] = "Compruebe la dirección e inténtelo más tarde. Si vuelve a fallar, muestre este informe a su administrador.",
	},
};

static const struct dsn_texts russian = {
	.head = "Это почтовая система {host} с известием о письме, которое пришло с вашего адреса {date}.",
	.head_with_id = "Это почтовая система {host} с известием о письме, которое пришло с вашего адреса {date} и имеет номер {id}.",
	.mixed = "Вот что с ним стало.",
	.summaries = {
		[DSN_FAILED] = "Его не удалось доставить, как указано ниже, и новых попыток не будет.",
		[DSN_DELAYED] = "Его пока не удалось доставить, как указано ниже. Попытки продолжаются; отправлять письмо ещё раз не нужно.",
		[DSN_RELAYED] = "Оно передано системам, которые не подтверждают доставку. Возможно, других извещений не будет.",
		[DSN_EXPANDED] = "Оно передано на несколько адресов. Возможно, других извещений не будет.",
		[DSN_DELIVERED] = "Оно доставлено.",
	},
	.outcomes = {
		[DSN_FAILED] = "не доставлено",
		[DSN_DELAYED] = "пока не доставлено",
		[DSN_RELAYED] = "передано",
		[DSN_EXPANDED] = "передано по списку адресов",
		[DSN_DELIVERED] = "доставлено",
	},
	.sent_to = "отправлено на",
	.reason = "Причина:",
	.answered = "{host} ответил:",
	.other_answered = "Другой сервер ответил:",
	.next_try = "Следующая попытка: {date}.",
	.until = "Попытки продолжатся до {date}.",
	.more_one = "и ещё 1 получатель. Следующая часть извещения называет всех.",
	.more_many = "и ещё получателей: {count}. Следующая часть извещения называет всех.",
	.for_programs = "Следующая часть извещения предназначена для программ.",
	.with_message = "Следующая часть извещения предназначена для программ. За ней следует ваше письмо.",
	.with_header = "Следующая часть извещения предназначена для программ. За ней следует заголовок вашего письма.",
	.with_beginning = "Следующая часть извещения предназначена для программ. За ней следует начало заголовка вашего письма.",
	.advice = {
		[ADVICE_SENDER] = "Ваш собственный адрес отправителя не был принят. Проверьте его в настройках почтовой программы.",
		[ADVICE_NO_MAIL] = "Домен этого адреса не принимает почту. Проверьте, нет ли в адресе ошибки.",
		[ADVICE_NO_DOMAIN] = "Домен этого адреса не существует или не имеет почтового сервера. Проверьте часть после @.",
		[ADVICE_ADDRESS] = "Проверьте, нет ли в адресе ошибки, или узнайте нынешний адрес.",
		[ADVICE_FULL] = "Почтовый ящик переполнен. Попробуйте позже или свяжитесь иначе.",
		[ADVICE_LARGE_FOR_MAILBOX] = "Письмо слишком велико для этого ящика. Отправьте письмо поменьше или передайте большие файлы иначе.",
		[ADVICE_MAILBOX] = "Почтовый ящик сейчас не принимает почту. Свяжитесь иначе.",
		[ADVICE_LARGE] = "Письмо слишком велико. Отправьте письмо поменьше или передайте большие файлы иначе.",
		[ADVICE_SYSTEM] = "В другой почтовой системе неполадки. Попробуйте позже.",
		[ADVICE_LOOP] = "Почтовые системы передают письма для этого адреса по кругу. Покажите это извещение тем, кто обслуживает почту этого домена.",
		[ADVICE_NETWORK] = "Другая почтовая система была недоступна. Если адрес верен, попробуйте позже.",
		[ADVICE_PROTOCOL] = "Почтовые системы не поняли друг друга. Покажите это извещение вашему администратору.",
		[ADVICE_MEDIA] = "Другая почтовая система не может принять такое письмо. Отправьте его в более простом виде.",
		[ADVICE_POLICY] = "Правила другой почтовой системы не допускают это письмо. Свяжитесь иначе и покажите это извещение вашему администратору.",
		[ADVICE_GENERAL] = "Проверьте адрес и попробуйте позже. Если снова не получится, покажите это извещение вашему администратору.",
	},
};

/* clang-format on */

const struct dsn_texts *
dsn_texts_of(enum dsn_language language)
{
	static const struct dsn_texts *const all[DSN_LANGUAGES] = {[DSN_ENGLISH] = &english,
		[DSN_GERMAN] = &german,
		[DSN_FRENCH] = &french,
		[DSN_SPANISH] = &spanish,
		[DSN_RUSSIAN] = &russian};

	return all[language];
}

static const char *const codes[DSN_LANGUAGES] = {[DSN_ENGLISH] = "en",
	[DSN_GERMAN] = "de",
	[DSN_FRENCH] = "fr",
	[DSN_SPANISH] = "es",
	[DSN_RUSSIAN] = "ru"};

const char *
dsn_language_code(enum dsn_language language)
{
	return codes[language];
}

bool
dsn_language_parse(struct slice code, enum dsn_language *ret_language)
{
	for (unsigned i = 0; i < DSN_LANGUAGES; i++)
		if (slice_equal(code, slice_text(codes[i]))) {
			*ret_language = (enum dsn_language)i;
			return true;
		}
	return false;
}
