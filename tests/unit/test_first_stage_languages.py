"""BM25 in other languages and scripts than English: a small test set, and the terms themselves."""

# ruff: noqa: RUF001 - letters of other scripts look like Latin ones; here they are meant
from __future__ import annotations

import unicodedata

import pytest

from langchain_rerank.errors import ConfigurationError, RerankWarning
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.first_stage.terms import Terms, english_terms

# Per language: texts, and queries with the position of the text that answers them. The queries use
# other forms of the words than the texts where the language has any.
LANGUAGES = {
    "zh": (
        [
            "北京是中国的首都，有故宫和长城。",
            "上海是中国最大的港口城市。",
            "大熊猫住在四川的竹林里。",
            "水在一百度时沸腾。",
        ],
        {"北京": 0, "中国的首都": 0, "港口": 1, "熊猫吃什么竹子": 2, "水": 3},
    ),
    "ja": (
        [
            "東京は日本の首都です。",
            "京都には古いお寺がたくさんあります。",
            "ラーメンは小麦の麺とスープの料理です。",
            "富士山は日本で一番高い山です。",
        ],
        {"東京": 0, "京都のお寺": 1, "ﾗｰﾒﾝ": 2, "一番高い山は": 3, "麺": 2},
    ),
    "ko": (
        [
            "서울은 대한민국의 수도이다.",
            "부산은 항구 도시로 유명하다.",
            "김치는 배추로 만든 음식이다.",
            "물은 백 도에서 끓는다.",
        ],
        {"서울": 0, "수도": 0, "부산의 항구": 1, "배추 음식": 2, "물": 3},
    ),
    "ar": (
        [
            "القاهرة هي عاصمة مصر.",
            "يقرأ الطالب كِتَابًا في المكتبة.",
            "تنمو أشجار النخيل في الصحراء.",
            "يغلي الماء عند مئة درجة.",
        ],
        {"عاصمة": 0, "الكتاب": 1, "شجرة النخيل": 2, "ماء": 3},
    ),
    "hi": (
        [
            "दिल्ली भारत की राजधानी है।",
            "बच्चे पुस्तकालय में किताबें पढ़ते हैं।",
            "हिमालय में ऊँचे पहाड़ हैं।",
            "पानी सौ डिग्री पर उबलता है।",
        ],
        {"राजधानी": 0, "किताब": 1, "पहाड़ों": 2, "पानी": 3},
    ),
    "th": (
        [
            "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
            "เชียงใหม่อยู่ทางภาคเหนือของไทย",
            "ช้างเป็นสัตว์ที่ใหญ่ที่สุดบนบก",
            "น้ำเดือดที่หนึ่งร้อยองศา",
        ],
        {"เมืองหลวง": 0, "เชียงใหม่": 1, "ช้าง": 2, "น้ำ": 3},
    ),
    "de": (
        [
            "Berlin ist die Hauptstadt von Deutschland.",
            "In der Straße stehen alte Häuser.",
            "Die Kinder lesen Bücher in der Bibliothek.",
            "Wasser kocht bei hundert Grad.",
        ],
        {"Hauptstädte": 0, "STRASSE": 1, "ein altes Haus": 1, "Buch": 2, "des Wassers": 3},
    ),
    "ru": (
        [
            "Москва является столицей России.",
            "Дети читают книги в библиотеке.",
            "Медведи живут в лесу.",
            "Вода кипит при ста градусах.",
        ],
        {"столица": 0, "книга": 1, "медведь": 2, "воды": 3},
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_query_finds_the_text_that_answers_it_first(language):
    texts, queries = LANGUAGES[language]
    retriever = BM25Retriever.from_texts(texts, language=language)
    for query, answer in queries.items():
        found = retriever.invoke(query)
        assert found, query
        assert found[0].page_content == texts[answer], query


@pytest.mark.parametrize("language", ["zh", "ja", "ko", "th"])
@pytest.mark.parametrize("given", [None, "english"])
def test_scripts_without_spaces_need_no_language(language, given):
    texts, queries = LANGUAGES[language]
    retriever = BM25Retriever.from_texts(texts, language=given)
    for query, answer in queries.items():
        assert retriever.invoke(query)[0].page_content == texts[answer], query


def test_a_query_of_two_characters_does_not_find_texts_with_one_of_them():
    retriever = BM25Retriever.from_texts(LANGUAGES["ja"][0])
    assert [d.page_content for d in retriever.invoke("京都")] == [
        "京都には古いお寺がたくさんあります。"
    ]


def test_terms_of_one_letter_or_digit_are_found():
    retriever = BM25Retriever.from_texts(
        ["Type 1 diabetes begins early.", "Type 2 diabetes begins late.", "C is a language."]
    )
    assert retriever.invoke("type 2 diabetes")[0].page_content.startswith("Type 2")
    assert retriever.invoke("C")[0].page_content.startswith("C is")


def test_a_genitive_is_no_term_of_its_own_in_english():
    assert english_terms("Crohn's dogs' tail") == english_terms("Crohn dogs tail")
    assert english_terms("Crohn\N{RIGHT SINGLE QUOTATION MARK}s") == ["crohn"]
    assert english_terms("it's s3") == ["s3"]


def test_without_a_language_latin_terms_stay_as_they_are():
    assert Terms(None)("The Cats are running in Züge") == [
        *("the", "cats", "are", "running", "in", "züge")
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("café", "cafe\N{COMBINING ACUTE ACCENT}"),
        ("ＱＬｏＲＡ", "QLoRA"),
        ("ad\N{SOFT HYPHEN}apter", "adapter"),
        ("Straße", "STRASSE"),
        ("ΣΟΦΟΣ", "σοφος"),
        ("שָׁלוֹם", "שלום"),
        ("كتـــاب", "كتاب"),
        ("한국", unicodedata.normalize("NFD", "한국")),
        ("ｶﾞｽ", "ガス"),
    ],
)
def test_two_ways_to_write_a_word_are_one_term(one, other):
    assert Terms(None).of_query(one) == Terms(None).of_query(other) != []


@pytest.mark.parametrize(
    ("language", "written", "typed"),
    [
        ("en", "Café résumés", "cafe resume"),
        ("en", "SMØRREBRØD", "smorrebrod"),
        ("en", "Encyclopædia", "encyclopaedia"),
        ("en", "άνθρωπος", "ΑΝΘΡΩΠΟΣ"),
        ("en", "Diyarbakır", "DIYARBAKIR"),
        ("en", "ёлка", "елка"),
        ("fr", "Téléphones", "telephone"),
        ("es", "La canción", "cancion"),
        ("pt", "coração", "coracao"),
        ("pl", "Łódź", "lodz"),
        ("de", "Müller", "Muller"),
        ("el", "άνθρωποι", "ΑΝΘΡΩΠΟΣ"),
        ("tr", "Işık", "isik"),
    ],
)
def test_a_word_is_found_without_its_accents_and_with_them(language, written, typed):
    texts = [written, "zzz"]
    assert BM25Retriever.from_texts(texts, language=language).invoke(typed)
    assert BM25Retriever.from_texts([typed, "zzz"], language=language).invoke(written)


def test_marks_that_are_more_than_accents_stay():
    assert Terms("en").of_query("हिंदी") != Terms("en").of_query("हदी")
    assert Terms("en").of_query("мой") != Terms("en").of_query("мои")
    assert Terms("en").of_query("が") != Terms("en").of_query("か")
    assert Terms(None).of_query("får") != Terms(None).of_query("far")  # None changes no word


def test_turkish_letters_are_lowered_as_in_turkish():
    assert Terms("tr")("IŞIK İstanbul") == Terms("tr")("ışık istanbul")


def test_words_of_other_scripts_stay_whole_beside_those_without_spaces():
    assert Terms("english").of_query("GPT4は東京でrunning 2024年") == [
        *("gpt4", "run", "2024"),
        *("は東", "東京", "京で", "年"),
    ]


def test_a_language_is_a_name_or_a_code_and_any_other_is_refused():
    assert Terms("de") == Terms("German") == Terms("german")
    assert Terms("ja").language == "japanese"
    with pytest.raises(ConfigurationError, match=r"language='klingon': expected one of arabic, "):
        BM25Retriever.from_texts(["x"], language="klingon")
    for misspelt, meant in (("germna", "german"), ("Chinees", "chinese"), ("engish", "english")):
        with pytest.raises(ConfigurationError, match=f"did you mean '{meant}'"):
            Terms(misspelt)
    with pytest.raises(ConfigurationError, match="both say how a text becomes terms"):
        BM25Retriever.from_texts(["x"], language="german", preprocess_func=str.split)


def test_most_texts_without_a_term_are_warned_of():
    with pytest.warns(RerankWarning, match="2 of 3 texts have no term"):
        BM25Retriever.from_texts(["★ ☆", "…!", "cats", " "])
    with pytest.warns(RerankWarning, match="language= or a preprocess_func"):
        BM25Retriever.from_texts(
            ["cats", "dogs", "x"], preprocess_func=lambda text: ["a"] * (text == "x")
        )
    BM25Retriever.from_texts(["★", "cats", "dogs", " ", " ", " "])  # no warning: blank ones aside


def test_every_text_of_any_script_that_has_letters_has_a_term():
    for text in ["ქართული ენა", "Ελληνικά", "አማርኛ", "தமிழ்", "ខ្មែរ", "မြန်မာ", "ລາວ", "བོད་སྐད་"]:
        assert Terms(None)(text), text
        assert set(Terms(None).of_query(text)) <= set(Terms(None)(text)), text
